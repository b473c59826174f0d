"""Command-line arguments: a parser whose errors repeat no secret; numbers and distances within bounds."""

import math
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import NoReturn

from appliance.log import redacted
from appliance.text import visible


class Parser(ArgumentParser):
    """An ArgumentParser whose errors contain no secrets and no control characters from the arguments."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with 2."""
        super().error(printable(message))


def printable(message: str) -> str:
    """Return the message without secrets, and with control characters escaped."""
    return visible(redacted(message))


def int_between(least: int, most: int) -> Callable[[str], int]:
    """Return an argument type for whole numbers from ``least`` (0 or more) to ``most``."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
            raise ArgumentTypeError(f"has to be a whole number, {least} to {most}")
        return int(text)

    return read


def float_between(least: float, most: float) -> Callable[[str], float]:
    """Return an argument type for numbers from ``least`` to ``most``."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ArgumentTypeError(f"has to be a number, {least:g} to {most:g}")
        return value

    return read


def metres_between(least: float, most: float) -> Callable[[str], float]:
    """Return an argument type for distances in metres: ``0.3m``, ``0.3 m``, ``0.3`` or ``30cm``."""
    read_number = float_between(least, most)

    def read(text: str) -> float:
        number = text.strip().lower()
        try:
            if number.endswith("cm"):
                return read_number(str(float(number.removesuffix("cm")) / 100))
            return read_number(number.removesuffix("m"))
        except (ValueError, ArgumentTypeError):
            raise ArgumentTypeError(f"has to be a distance, {least:g}m to {most:g}m") from None

    return read
