"""Signed requests and answers: RFC 9421 HTTP message signatures in one strict profile. Pure.

A request is signed by the device over ``@method``, ``@authority``, ``@path`` and ``content-digest`` (RFC 9530,
sha-256), in this order, one signature labelled ``sig`` with the parameters ``created``, ``keyid`` (the device id; to
enrol, the key's thumbprint), ``alg``, ``nonce`` (the device's sequence number, which only grows) and ``tag`` "va1".
Replays are found by the sequence number, never by ``created``: a Raspberry Pi may not know the time.

An answer is signed by the server over ``@status``, its ``content-digest``, and of the request ``@path`` and
``signature``, with the parameters ``created``, ``keyid`` (the server key's thumbprint), ``alg`` and ``tag`` "va1s": it
answers this request and no other.

Devices sign and verify here, through the library. The server does the opposite in `server.signatures`.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    HTTPSignatureKeyResolver,
    algorithms,
)

from appliance.provisioning.common.keys import (
    Algorithm,
    PrivateKey,
    PublicKey,
    algorithm,
    new_private_key,
    private_key,
    public_key,
    public_key_text,
)

__all__ = [
    "ANSWER_COMPONENTS",
    "ANSWER_TAG",
    "COMPONENTS",
    "LABEL",
    "SIGNATURE_HEADERS",
    "TAG",
    "AnswerParameters",
    "SignatureInvalid",
    "SignedAnswer",
    "SignedRequest",
    "Signer",
    "answer_parameters",
    "content_digest",
    "new_private_key",
    "private_key",
    "public_key",
    "public_key_text",
    "sign",
    "verify_answer",
]

COMPONENTS: Final = ("@method", "@authority", "@path", "content-digest")
ANSWER_COMPONENTS: Final = ('"@status"', '"content-digest"', '"@path";req', '"signature";req')
TAG: Final = "va1"
ANSWER_TAG: Final = "va1s"
LABEL: Final = "sig"
SIGNATURE_HEADERS: Final = ("content-digest", "signature-input", "signature")
"""The headers that belong to a signature, lower case."""
# So strict that one answer has one spelling: the last character of a base64 text carries unused bits, which are zero.
_ANSWER_DIGEST: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:")
_ANSWER_INPUT: Final = re.compile(
    rf"sig=\({re.escape(' '.join(ANSWER_COMPONENTS))}\);created=(?P<created>[1-9][0-9]{{0,10}});"
    rf'keyid="(?P<key_id>[A-Za-z0-9_-]{{43}})";alg="ed25519";tag="{ANSWER_TAG}"'
)
_ANSWER_SIGNATURE: Final = re.compile(r"sig=:[A-Za-z0-9+/]{85}[AQgw]==:")
_LIBRARY: Final[Mapping[Algorithm, type[HTTPSignatureAlgorithm]]] = {
    Algorithm.ED25519: algorithms.ED25519,
    Algorithm.P256: algorithms.ECDSA_P256_SHA256,
}


class SignatureInvalid(Exception):  # noqa: N818  names a condition
    """A message is not signed, or not by the key it names. The text is for a log, not for the other side."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The parts of a request that matter here; ``url`` is absolute, header names are lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """The parts of an answer that matter here; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed a request, and with which sequence number."""

    key_id: str
    """The device id; to enrol, the thumbprint of the key."""
    sequence: int


@dataclass(frozen=True, slots=True)
class AnswerParameters:
    """What an answer says of its signature; true only once `verify_answer` has returned."""

    key_id: str
    """The thumbprint of the server's key."""
    created: int
    """When it was signed, by the server's clock, in seconds since 1970."""


@dataclass(slots=True)
class _Message:
    """A request as the library reads it, and when signing, writes it."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass(slots=True)
class _Reply:
    """An answer as the library reads it."""

    status_code: int
    headers: dict[str, str]
    request: _Message


class _OneKey(HTTPSignatureKeyResolver):
    """The key has been chosen already."""

    def __init__(self, *, private: PrivateKey | None = None) -> None:
        self._private = private

    def resolve_private_key(self, key_id: str) -> PrivateKey | None:
        del key_id
        return self._private


class _PinnedKeys(HTTPSignatureKeyResolver):
    """Keys by thumbprint; an unknown one resolves to none, which the library refuses."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    def resolve_public_key(self, key_id: str) -> PublicKey | None:
        return self._keys.get(key_id)


class _TimelessVerifier(HTTPMessageVerifier):
    """Takes any ``created``: the clock of a device may be years off."""

    max_clock_skew = timedelta(days=365 * 1000)


def content_digest(body: bytes) -> str:
    """Return the value of the header ``Content-Digest``."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"


def sign(request: SignedRequest, key: PrivateKey, signer: Signer, created: datetime) -> dict[str, str]:
    """Return the headers that make ``request`` a signed one. ``created`` is told, not relied on."""
    message = _Message(request.method, request.url, {})
    HTTPMessageSigner(signature_algorithm=_LIBRARY[algorithm(key)], key_resolver=_OneKey(private=key)).sign(
        message,
        key_id=signer.key_id,
        created=created,
        nonce=str(signer.sequence),
        label=LABEL,
        tag=TAG,
        covered_component_ids=COMPONENTS,
        body=request.body,
    )
    return {name.lower(): value for name, value in message.headers.items()}


def answer_parameters(headers: Mapping[str, str]) -> AnswerParameters | None:
    """Return what an answer with these headers says of its signature; None: it has none in the profile."""
    digest, parameters, signature = (headers.get(name, "") for name in SIGNATURE_HEADERS)
    found = _ANSWER_INPUT.fullmatch(parameters)
    if found is None or not _ANSWER_DIGEST.fullmatch(digest) or not _ANSWER_SIGNATURE.fullmatch(signature):
        return None
    return AnswerParameters(found["key_id"], int(found["created"]))


def verify_answer(answer: SignedAnswer, request: SignedRequest, keys: Mapping[str, Ed25519PublicKey]) -> None:
    """Check that the server signed ``answer``, and that it answers ``request`` (with its signature headers).

    ``keys`` are those that this device trusts, by thumbprint.

    Raises:
        SignatureInvalid: Not signed, by a key that is not trusted, altered, or the answer to something else.
    """
    if answer_parameters(answer.headers) is None:
        raise SignatureInvalid("the signature headers are missing or not in the profile")
    asked = _Message(request.method, request.url, dict(request.headers))
    reply = _Reply(answer.status, dict(answer.headers), asked)
    verifier = _TimelessVerifier(signature_algorithm=algorithms.ED25519, key_resolver=_PinnedKeys(keys))
    try:
        verifier.verify(
            reply,
            max_age=None,
            expect_tag=ANSWER_TAG,
            expect_label=LABEL,
            require_components=ANSWER_COMPONENTS,
            body=answer.body,
        )
    except HTTPMessageSignaturesException as error:
        raise SignatureInvalid(str(error) or "the signature does not fit") from error
