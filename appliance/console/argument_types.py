"""Command lines: what is wrong is told in one line that repeats no secret; numbers are within bounds."""

import math
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import NoReturn

from appliance.log import redacted
from appliance.text import visible


class Parser(ArgumentParser):
    """Repeats no join string or key that somebody has given as an argument, and nothing that a terminal obeys."""

    def error(self, message: str) -> NoReturn:
        """End the program with 2."""
        super().error(told(message))


def told(message: str) -> str:
    """Return what can be said on a terminal: no secrets, and nothing that it obeys."""
    return visible(redacted(message))


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
