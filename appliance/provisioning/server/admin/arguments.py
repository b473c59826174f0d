"""Argument types of the operator's command line. Their errors say in one line what is expected."""

import difflib
import json
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from appliance.provisioning.common.join import Join, new_claim, read_join
from appliance.provisioning.common.protocol import ShortText
from appliance.provisioning.server.audit import Mark, read_mark
from appliance.tools.builtin import NAMES

T = TypeVar("T")
_THUMBPRINT: Final = "-" * 43
_LATEST: Final = 9_999_999_999
"""The longest expiry, by digits."""


def or_unset(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """Return a type that reads blank text as None (unset), and other text with ``read``."""
    return lambda text: read(text) if text.strip() else None


def line(maximum: int) -> Callable[[str], str]:
    """Return a type for one line of at most ``maximum`` characters."""

    def read(text: str) -> str:
        if len(text) > maximum or not text.isprintable():
            raise ArgumentTypeError(f"has to be one line of at most {maximum} characters")
        return text

    return read


def lines(maximum: int) -> Callable[[str], str]:
    """Return a type for text of at most ``maximum`` characters."""

    def read(text: str) -> str:
        if len(text) > maximum:
            raise ArgumentTypeError(f"has to be at most {maximum} characters")
        return text

    return read


def label(text: str) -> str:
    """Read the name of a device."""
    try:
        return TypeAdapter(ShortText).validate_python(text)
    except ValidationError:
        raise ArgumentTypeError("has to be one line of 1 to 80 characters") from None


def policy_name(text: str) -> str:
    """Read the name of a policy."""
    if not 1 <= len(text) <= 40 or not all(character.isalnum() or character in "-_." for character in text):
        raise ArgumentTypeError("has to be 1 to 40 letters, digits, dots, dashes and underscores")
    return text


def tools(text: str) -> str:
    """Read tool names, separated by commas, into a JSON list; blank: an empty list."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        meant = difflib.get_close_matches(unknown[0], NAMES, 1)
        instead = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(NAMES)}"
        raise ArgumentTypeError(f"no device has a tool {unknown[0][:64]!r}: {instead}")
    return json.dumps(list(dict.fromkeys(names)))


def mark(text: str) -> Mark:
    """Read a mark that `audit head` printed."""
    try:
        return read_mark(text)
    except ValueError:
        raise ArgumentTypeError("has to be what `audit head` printed: a number, a colon, 64 digits") from None


def address(text: str) -> str:
    """Read an address that fits into a join string."""
    if not fits_join_string(text):
        raise ArgumentTypeError("has to be https:// and a host, with a port or a path at most; 205 characters")
    return text


def fits_join_string(url: str) -> bool:
    """Say whether a device can read a join string with this address."""
    try:
        read_join(Join(url, new_claim(), _THUMBPRINT, _LATEST).text())
    except ValueError:
        return False
    return True
