"""What is given on the standard input; where it is closed, nothing is."""

import io
import sys

from appliance.errors import ExitCode, InputError


def is_terminal() -> bool:
    """Say whether somebody may be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def read(characters: int = -1) -> str:
    """Return what is given, or the first so many characters of it; a mark stands for what is no text.

    Raises:
        InputError: It cannot be read.
    """
    if sys.stdin is None:
        return ""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    try:
        return sys.stdin.read(characters)
    except OSError as error:
        raise InputError(f"the standard input cannot be read: {error.strerror or error}", ExitCode.NO_INPUT) from error
