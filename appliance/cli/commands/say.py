"""The `appliance say` command: send text to the running appliance, which answers aloud."""

from pathlib import Path

from pydantic import ValidationError

from appliance.console import stdin
from appliance.errors import ExitCode, InputError
from appliance.service.control_client import send
from appliance.service.control_socket import MAX_TEXT, SayRequest


def say_command(words: list[str], runtime: Path) -> int:
    """Send the words, or standard input if they are ``-``; return the exit code.

    Raises:
        InputError: There is no text, no daemon, or the daemon cannot answer now.
    """
    text = stdin.read() if words == ["-"] else " ".join(words)
    try:
        request = SayRequest(say=text)
    except ValidationError:
        raise InputError(f"there is no text, or too much: give 1 to {MAX_TEXT} characters") from None
    why_not = send(runtime, request).why_not
    if why_not is not None:
        raise InputError(f"the appliance cannot answer now: {why_not}", ExitCode.UNAVAILABLE)
    return ExitCode.OK
