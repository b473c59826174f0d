"""Standard input. A closed one is empty."""

import io
import sys

from appliance.errors import ExitCode, InputError
from appliance.text import decoded


def is_terminal() -> bool:
    """Return whether there is a person to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


def read(most: int = -1) -> str:
    """Return the input, or its first ``most`` bytes, as text (see `text.decoded`).

    Raises:
        InputError: It cannot be read.
    """
    if sys.stdin is None:
        return ""
    try:
        if isinstance(sys.stdin, io.TextIOWrapper):
            return decoded(sys.stdin.buffer.read(most), sys.stdin.encoding)
        return sys.stdin.read(most)
    except OSError as error:
        raise InputError(f"the standard input cannot be read: {error.strerror or error}", ExitCode.NO_INPUT) from error
