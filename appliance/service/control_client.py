"""Commands to the running daemon, from another process: the other end of the control socket. Blocking."""

import socket
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance.errors import ExitCode, InputError
from appliance.service.control_socket import (
    MAX_RESPONSE_BYTES,
    SOCKET,
    TIMEOUT_S,
    ControlRequest,
    ControlResponse,
)

RUNTIME: Final = Path("/run/voice-appliance")
"""Runtime directory of the daemon, as the unit sets it."""


def send(runtime: Path, request: ControlRequest) -> ControlResponse:
    """Send a request to the daemon with this runtime directory; return its response.

    Raises:
        InputError: No daemon runs, this user may not ask it, or it does not answer.
    """
    path = runtime / SOCKET
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2 * TIMEOUT_S)
            connection.connect(str(path))
            connection.sendall(request.model_dump_json().encode())
            connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as answer:
                return ControlResponse.model_validate_json(answer.read(MAX_RESPONSE_BYTES))
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


def require_no_daemon(runtime: Path) -> None:
    """Raise InputError if the daemon with this runtime directory runs: it has the sound cards and the key in use."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        if connection.connect_ex(str(runtime / SOCKET)):
            return
    raise InputError(
        "the appliance is running: stop it (systemctl stop appliance), run this again, and start it afterwards",
        ExitCode.UNAVAILABLE,
    )
