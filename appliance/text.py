"""Text that was written, saved or copied elsewhere: which bytes it may be, and what does not belong to it.

Standard library only: the installer reads with it before anything is installed.
"""

import codecs
import unicodedata
from typing import Final

_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_QUOTES: Final = frozenset("\"'`<>\u201e\u201a")
"""The last two are the low ones that open a German quotation."""
_QUOTES_OR_INVISIBLE: Final = frozenset({"Pi", "Pf", "Cf"})
"""Categories of Unicode: initial and final quotes, and what only formats."""


def decoded(content: bytes, encoding: str = "utf-8") -> str:
    """Return text in UTF-8 or UTF-16, with or without a byte order mark, else in ``encoding``; never raises.

    Windows saves as UTF-16 what PowerShell writes with ``>``. A replacement character stands for what is no text.
    """
    for mark, marked in _MARKS.items():
        if content.startswith(mark):
            return content.decode(marked, "replace")
    # ASCII in UTF-16 has a zero in every second place; other text has none at all.
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
