"""Signed requests: RFC 9421 HTTP message signatures in one strict profile, and the keys for them. Pure.

The profile: Ed25519 over ``@method``, ``@authority``, ``@path`` and ``content-digest`` (RFC 9530, sha-256), in this
order, one signature labelled ``sig`` with the parameters ``created``, ``keyid`` (the device id), ``alg``, ``nonce``
(the device's sequence number, which only grows) and ``tag`` "va1". Replays are found by the sequence number, never by
``created``: a Raspberry Pi may not know the time.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)

COMPONENTS: Final = ("@method", "@authority", "@path", "content-digest")
TAG: Final = "va1"
LABEL: Final = "sig"
SIGNATURE_HEADERS: Final = ("content-digest", "signature-input", "signature")
"""The headers that belong to a signature, lower case."""

# Checked before anything is parsed or computed, and so strict that one message has one spelling: the last character
# of a base64 text carries unused bits, which have to be zero.
_CONTENT_DIGEST: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:")
_SIGNATURE_INPUT: Final = re.compile(
    r'sig=\("@method" "@authority" "@path" "content-digest"\)'
    r';created=[1-9][0-9]{0,10};keyid="(?P<device_id>[A-Za-z0-9._-]{1,64})";alg="ed25519"'
    r';nonce="(?P<sequence>[1-9][0-9]{0,14})";tag="va1"'
)
_SIGNATURE: Final = re.compile(r"sig=:[A-Za-z0-9+/]{85}[AQgw]==:")


class SignatureInvalid(Exception):  # noqa: N818  names a condition
    """A request is not signed, or not by the key it names. The text is for the server's log, not for the device."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The parts of a request that matter here; ``url`` is absolute, header names are lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed a request, and with which sequence number."""

    device_id: str
    sequence: int


@dataclass(slots=True)
class _Message:
    """What the library reads, and when signing, writes."""

    method: str
    url: str
    headers: dict[str, str]


class _OneKey(HTTPSignatureKeyResolver):
    """The key has been chosen already."""

    def __init__(self, *, private: Ed25519PrivateKey | None = None, public: Ed25519PublicKey | None = None) -> None:
        self._private = private
        self._public = public

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey | None:
        del key_id
        return self._private

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        del key_id
        return self._public


class _TimelessVerifier(HTTPMessageVerifier):
    """Takes any ``created``: the clock of a device may be years off."""

    max_clock_skew = timedelta(days=365 * 1000)


def sign(request: SignedRequest, key: Ed25519PrivateKey, signer: Signer, created: datetime) -> dict[str, str]:
    """Return the headers that make ``request`` a signed one. ``created`` is told, not relied on."""
    message = _Message(request.method, request.url, {})
    HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=_OneKey(private=key)).sign(
        message,
        key_id=signer.device_id,
        created=created,
        nonce=str(signer.sequence),
        label=LABEL,
        tag=TAG,
        covered_component_ids=COMPONENTS,
        body=request.body,
    )
    return {name.lower(): value for name, value in message.headers.items()}


def verify(request: SignedRequest, keys: Mapping[str, Ed25519PublicKey], nobody: Ed25519PublicKey) -> Signer:
    """Return who signed ``request``; whether the sequence number is new is for the caller to say.

    ``nobody`` is a key of which no private half exists: with it an unknown device costs as much time as a known one.

    Raises:
        SignatureInvalid: Not in the profile, from an unknown device, of another key, or of another request.
    """
    signer = _claimed(request)
    verifier = _TimelessVerifier(
        signature_algorithm=algorithms.ED25519, key_resolver=_OneKey(public=keys.get(signer.device_id, nobody))
    )
    message = _Message(request.method, request.url, dict(request.headers))
    try:
        verifier.verify(
            message,
            max_age=None,
            expect_tag=TAG,
            expect_label=LABEL,
            require_components=COMPONENTS,
            body=request.body,
        )
    except HTTPMessageSignaturesException as error:
        known = "" if signer.device_id in keys else "unknown "
        reason = str(error) or "the signature does not fit"
        raise SignatureInvalid(f"{known}device {signer.device_id}: {reason}") from error
    return signer


def _claimed(request: SignedRequest) -> Signer:
    """Return who the request says it is from."""
    digest, parameters, signature = (request.headers.get(name, "") for name in SIGNATURE_HEADERS)
    claim = _SIGNATURE_INPUT.fullmatch(parameters)
    if claim is None or not _SIGNATURE.fullmatch(signature) or not _CONTENT_DIGEST.fullmatch(digest):
        raise SignatureInvalid("the signature headers are missing or not in the profile")
    return Signer(claim["device_id"], int(claim["sequence"]))


def new_private_key() -> str:
    """Return a new Ed25519 private key, PEM (PKCS #8, not encrypted)."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def private_key(pem: str) -> Ed25519PrivateKey:
    """Read a private key from PEM.

    Raises:
        ValueError: It is not an unencrypted Ed25519 private key.
    """
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The reason may quote the key.
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an unencrypted Ed25519 private key in PEM")  # noqa: TRY004  the text is wrong
    return key


def public_key(text: str) -> Ed25519PublicKey:
    """Read a public key from PEM, or from its 32 bytes in base64 (as `public_key_text` writes it).

    Raises:
        ValueError: It is neither.
    """
    try:
        if text.lstrip().startswith("-----BEGIN"):
            key = load_pem_public_key(text.encode())
        else:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 public key, neither PEM nor 32 bytes in base64")  # noqa: TRY004
    return key


def public_key_text(key: Ed25519PrivateKey | Ed25519PublicKey) -> str:
    """Return the public half as its 32 bytes in base64: one line for the server's table of devices."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")
