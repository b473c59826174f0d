"""What may stand on the operator's command line: types for argparse, which say in one line what is wanted."""

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
"""An expiry with as many digits as any has."""


def or_unset(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """Return what reads what ``read`` does, and a blank text as None: not set any more."""
    return lambda text: read(text) if text.strip() else None


def line(most: int) -> Callable[[str], str]:
    """Return what reads one line of text, at most ``most`` characters."""

    def read(text: str) -> str:
        if len(text) > most or not text.isprintable():
            raise ArgumentTypeError(f"has to be one line of at most {most} characters")
        return text

    return read


def lines(most: int) -> Callable[[str], str]:
    """Return what reads several lines of text, at most ``most`` characters."""

    def read(text: str) -> str:
        if len(text) > most:
            raise ArgumentTypeError(f"has to be at most {most} characters")
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
    """Read names of tools, with commas between, into a JSON list; blank: the list that has none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        meant = difflib.get_close_matches(unknown[0], NAMES, 1)
        instead = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(NAMES)}"
        raise ArgumentTypeError(f"no device has a tool {unknown[0][:64]!r}: {instead}")
    return json.dumps(list(dict.fromkeys(names)))


def mark(text: str) -> Mark:
    """Read what `audit head` has printed."""
    try:
        return read_mark(text)
    except ValueError:
        raise ArgumentTypeError("has to be what `audit head` printed: a number, a colon, 64 digits") from None


def address(text: str) -> str:
    """Read an address that a join string can hold."""
    if not joins(text):
        raise ArgumentTypeError("has to be https:// and a host, with a port or a path at most; 205 characters")
    return text


def joins(url: str) -> bool:
    """Say whether a device can read a join string with this address."""
    try:
        read_join(Join(url, new_claim(), _THUMBPRINT, _LATEST).text())
    except ValueError:
        return False
    return True
