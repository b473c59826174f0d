"""Untrusted text: its encoding, control characters, and quotes and blanks from copying.

Standard library only: the installer reads with it before anything is installed.
"""

import codecs
import re
import unicodedata
from typing import Final

_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_QUOTES: Final = frozenset("\"'`<>\u201e\u201a")
"""The last two are low quotation marks, as in German."""
_QUOTES_OR_INVISIBLE: Final = frozenset({"Pi", "Pf", "Cf"})
"""Unicode categories: initial and final quotes, format characters."""


_UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # changes of the direction of writing
    r"\u2028\u2029]"  # line and paragraph separators
)


def visible(text: str) -> str:
    """Return text for a terminal: characters that move the cursor or change the direction of writing are escaped."""
    return _UNSEEN.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if found[0] < "\u0100" else f"\\u{ord(found[0]):04x}", text
    )


def stripped(text: str) -> str:
    """Return text without those characters, so that its width in a table is right."""
    return _UNSEEN.sub("", text)


def decoded(content: bytes, encoding: str = "utf-8") -> str:
    """Return text in UTF-8 or UTF-16, with or without a byte order mark, else in ``encoding``; never raises.

    PowerShell writes UTF-16 with ``>``. Invalid bytes become replacement characters.
    """
    for mark, marked in _MARKS.items():
        if content.startswith(mark):
            return content.decode(marked, "replace")
    # In UTF-16, every second byte of ASCII is zero; other encodings have no zeros.
    if content[1:2] == b"\0":
        return content.decode("utf-16-le", "replace")
    if content[:1] == b"\0":
        return content.decode("utf-16-be", "replace")
    return content.decode(encoding, "replace")


def bare(text: str) -> str:
    """Return a word without blanks, line breaks, quotes and invisible characters, around it and in it."""
    return "".join(
        one
        for one in text
        if not (one.isspace() or one in _QUOTES or unicodedata.category(one) in _QUOTES_OR_INVISIBLE)
    )
