"""The envelope of a join string: ``va1.`` + payload + ``.`` + checksum. Pure.

Standard library only: the installer checks join strings before anything is installed.
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


def wrap(payload: str) -> str:
    """Return the join string for a payload in base64url."""
    return f"{PREFIX}.{payload}.{_checksum(payload)}"


def unwrap(text: str) -> str:
    """Return the payload; ignore blanks, line breaks, quotes and invisible characters in and around the text.

    Raises:
        ValueError: The text is not a join string, or a damaged one; the message does not quote it.
    """
    found = _JOIN.fullmatch(bare(text[: 2 * MAX_CHARACTERS]))
    if found is None:
        raise ValueError("not a join string: copy all of it, from va1. to the end")
    if found["check"] != _checksum(found["payload"]):
        raise ValueError("the join string is damaged: copy it again")
    return found["payload"]


def redact_join_strings(text: str) -> str:
    """Return a message with every join string in it cut out."""
    return _ANY.sub("va1.…", text)


def _checksum(payload: str) -> str:
    digest = hashlib.sha256(f"{PREFIX}.{payload}".encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest[:6]).decode("ascii")
