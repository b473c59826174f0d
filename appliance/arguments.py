"""Numbers on a command line, as types for argparse: within bounds, or one line that says what is wanted."""

import math
from argparse import ArgumentTypeError
from collections.abc import Callable


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number, ``least`` (0 or more) to ``most``."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
            raise ArgumentTypeError(f"has to be a whole number, {least} to {most}")
        return int(text)

    return read


def real(least: float, most: float) -> Callable[[str], float]:
    """Return what reads a number, ``least`` to ``most``."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ArgumentTypeError(f"has to be a number, {least:g} to {most:g}")
        return value

    return read
