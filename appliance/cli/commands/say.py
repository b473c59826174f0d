"""The `appliance say` command: send text to the running appliance, which answers aloud."""

import socket
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance.console import stdin
from appliance.errors import ExitCode, InputError
from appliance.service.control_socket import MAX_TEXT, SOCKET, TIMEOUT_S, ControlRequest, ControlResponse

RUNTIME: Final = Path("/run/voice-appliance")
"""Runtime directory of the daemon, as the unit sets it."""


def say_command(words: list[str], runtime: Path) -> int:
    """Send the words, or standard input if they are ``-``; return the exit code.

    Raises:
        InputError: There is no text, no daemon, or the daemon cannot answer now.
    """
    text = stdin.read() if words == ["-"] else " ".join(words)
    try:
        request = ControlRequest(say=text)
    except ValidationError:
        raise InputError(f"there is no text, or too much: give 1 to {MAX_TEXT} characters") from None
    why_not = _send(runtime / SOCKET, request).why_not
    if why_not is not None:
        raise InputError(f"the appliance cannot answer now: {why_not}", ExitCode.UNAVAILABLE)
    return ExitCode.OK


def _send(path: Path, request: ControlRequest) -> ControlResponse:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2 * TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(request.model_dump_json().encode())
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answer:
                return ControlResponse.model_validate_json(answer.read())
    except PermissionError:
        raise InputError("permission denied: use sudo, or join the group voice-appliance") from None
    except FileNotFoundError:
        raise InputError(
            f"no appliance is running: there is no {path}; see systemctl status appliance", ExitCode.NO_INPUT
        ) from None
    except (OSError, ValidationError):
        raise InputError(
            "the appliance does not answer: it may be starting or stopping; try again in a moment", ExitCode.UNAVAILABLE
        ) from None
