"""The outside of a join string: ``va1.`` + payload + ``.`` + checksum. Pure.

Standard library only: the installer finds damage with it before anything is installed.
"""

import base64
import hashlib
import re
from typing import Final

from appliance.text import bare

PREFIX: Final = "va1"
MAX_CHARACTERS: Final = 400
_JOIN: Final = re.compile(r"va1\.(?P<payload>[A-Za-z0-9_-]{40,380})\.(?P<check>[A-Za-z0-9_-]{8})")
_ANY: Final = re.compile(r"\bva1\.[\w.-]+", re.ASCII)


def wrapped(payload: str) -> str:
    """Return the join string for a payload in base64url."""
    return f"{PREFIX}.{payload}.{_checksum(payload)}"


def payload_of(text: str) -> str:
    """Return the payload; blanks, line breaks, quotes and invisible characters around and in the text do not count.

    Raises:
        ValueError: It is no join string, or has been damaged; the text is not quoted.
    """
    found = _JOIN.fullmatch(bare(text[: 2 * MAX_CHARACTERS]))
    if found is None:
        raise ValueError("not a join string: it begins with va1. and is copied as a whole")
    if found["check"] != _checksum(found["payload"]):
        raise ValueError("the join string has been damaged: copy it again")
    return found["payload"]


def without_join_strings(text: str) -> str:
    """Return a message without what somebody has taken for the place of a join string."""
    return _ANY.sub("va1.…", text)


def _checksum(payload: str) -> str:
    digest = hashlib.sha256(f"{PREFIX}.{payload}".encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest[:6]).decode("ascii")
