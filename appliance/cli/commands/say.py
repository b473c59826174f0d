"""The `appliance say` command: say something to the running appliance in writing; it answers aloud."""

import socket
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance.console import stdin
from appliance.errors import ExitCode, InputError
from appliance.service.control_socket import MAX_TEXT, PATIENCE_S, SOCKET, Answered, Asked

RUNTIME: Final = Path("/run/voice-appliance")
"""Where the unit has the daemon's runtime directory."""


def say_command(words: list[str], runtime: Path) -> int:
    """Say the words, or what stands on the standard input where they are ``-``; return the exit code.

    Raises:
        InputError: Nothing to say, no daemon, or one that cannot do it now.
    """
    text = stdin.read() if words == ["-"] else " ".join(words)
    try:
        asked = Asked(say=text)
    except ValidationError:
        raise InputError(f"say something, of at most {MAX_TEXT} characters") from None
    why_not = _ask(runtime / SOCKET, asked).why_not
    if why_not is not None:
        raise InputError(f"the appliance cannot answer now: {why_not}", ExitCode.UNAVAILABLE)
    return ExitCode.OK


def _ask(path: Path, asked: Asked) -> Answered:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(2 * PATIENCE_S)
            line.connect(str(path))
            line.sendall(asked.model_dump_json().encode())
            line.shutdown(socket.SHUT_WR)
            with line.makefile("rb") as answer:
                return Answered.model_validate_json(answer.read())
    except PermissionError:
        raise InputError("permission denied: use sudo, or join the group voice-appliance") from None
    except FileNotFoundError:
        raise InputError(
            f"no appliance is running: {path} is not there; systemctl status appliance tells more", ExitCode.NO_INPUT
        ) from None
    except (OSError, ValidationError):
        raise InputError("the appliance does not answer; is it starting or ending?", ExitCode.UNAVAILABLE) from None
