"""The claim with which a device enrols, and the join string that carries it. Pure.

A claim is ``k7m2qd.9F3K4R7TW2XB6YHN5``: a public id of 6 characters, and a secret of 16 characters (80 bits in
Crockford's base32) with a check character, so that a typing error does not cost an attempt.

A join string holds everything that a new device needs, with the server's key to trust: ``va1.`` + base64url of
``url|claim|thumbprint|expiry`` + ``.`` + a checksum. The thumbprint (RFC 7638) is that of the server's key.
"""

import base64
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from appliance.provisioning.common.join_string import unwrap, wrap
from appliance.provisioning.common.protocol import HttpsUrl

ID_CHARACTERS: Final = 6
SECRET_CHARACTERS: Final = 16
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHECKS: Final = _ALPHABET + "*~$=U"
"""Crockford's base32: the check character is the number modulo 37."""
_READ_AS: Final = str.maketrans("OIL", "011", "- ")
"""Letters that look like digits are read as digits; dashes and blanks are ignored."""
_CLAIM: Final = re.compile(
    rf"(?P<id>[{_ALPHABET}]{{6}})\.(?P<secret>[{_ALPHABET}]{{16}})(?P<check>[{re.escape(_CHECKS)}])"
)
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A one-time secret to enrol with."""

    id: str
    """Public, lower case: names the claim in lists and logs."""
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"claim {self.id}"

    def text(self) -> str:
        """Return the claim with its secret."""
        return f"{self.id}.{self.secret}{_check(self.secret)}"


@dataclass(frozen=True, slots=True)
class Join:
    """The content of a join string."""

    url: str
    claim: Claim
    server_key: str
    """The thumbprint of the key that the server signs with."""
    expires_at: int
    """Seconds since 1970; shown to people, but not enforced: the device's clock may be wrong."""

    def text(self) -> str:
        """Return the join string."""
        fields = "|".join((self.url, self.claim.text(), self.server_key, str(self.expires_at)))
        payload = base64.urlsafe_b64encode(fields.encode("ascii")).rstrip(b"=").decode("ascii")
        return wrap(payload)


def new_claim() -> Claim:
    """Return a new random claim."""
    characters = [secrets.choice(_ALPHABET) for _ in range(ID_CHARACTERS + SECRET_CHARACTERS)]
    return Claim("".join(characters[:ID_CHARACTERS]).lower(), "".join(characters[ID_CHARACTERS:]))


def read_claim(text: str) -> Claim:
    """Parse a claim, as a program or a person wrote it.

    Raises:
        ValueError: It is malformed or mistyped; the text is not quoted.
    """
    found = _CLAIM.fullmatch(text.strip().upper().translate(_READ_AS)) if len(text) <= 64 and text.isascii() else None
    if found is None:
        raise ValueError("not a claim: it is 6 characters, a dot and 17 characters")
    if found["check"] != _check(found["secret"]):
        raise ValueError("a character of the claim is wrong")
    return Claim(found["id"].lower(), found["secret"])


def read_join(text: str) -> Join:
    """Parse a join string; blanks, line breaks, quotes and invisible characters in it are ignored.

    Raises:
        ValueError: It is malformed or damaged; the text is not quoted.
    """
    payload = unwrap(text)
    try:
        fields = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("ascii").split("|")
        url, claim, server_key, expires_at = fields
        TypeAdapter(HttpsUrl).validate_python(url)
        join = Join(url, read_claim(claim), server_key, int(expires_at))
    except (ValueError, ValidationError):
        raise ValueError("the join string is of another version") from None
    if not _THUMBPRINT.fullmatch(server_key):
        raise ValueError("the join string is of another version")
    return join


def _check(secret: str) -> str:
    number = 0
    for character in secret:
        number = number * 32 + _ALPHABET.index(character)
    return _CHECKS[number % 37]
