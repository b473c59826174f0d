"""Signed requests and answers: RFC 9421 HTTP message signatures in one strict profile. Pure.

A request is signed by the device over ``@method``, ``@authority``, ``@path`` and ``content-digest`` (RFC 9530,
sha-256), in this order, one signature labelled ``sig`` with the parameters ``created``, ``keyid`` (the device id; to
enrol, the key's thumbprint), ``alg``, ``nonce`` (the device's sequence number, which only grows) and ``tag`` "va1".
Replays are found by the sequence number, never by ``created``: a Raspberry Pi may not know the time.

An answer is signed by the server over ``@status``, its ``content-digest``, and of the request ``@path`` and
``signature``, with the parameters ``created``, ``keyid`` (the server key's thumbprint), ``alg`` and ``tag`` "va1s": it
answers this request and no other.

The profile has one spelling, so the signature base (RFC 9421 §2.5) is put together here directly, in a tenth of the
time that a general implementation takes. Tests hold it against one in both directions.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import ServerKey

COMPONENTS: Final = ('"@method"', '"@authority"', '"@path"', '"content-digest"')
ANSWER_COMPONENTS: Final = ('"@status"', '"content-digest"', '"@path";req', '"signature";req')
TAG: Final = "va1"
ANSWER_TAG: Final = "va1s"
SIGNATURE_HEADERS: Final = ("content-digest", "signature-input", "signature")
"""The headers that belong to a signature, lower case."""
# Checked before anything is parsed or computed, and so strict that one message has one spelling: the last character
# of a base64 text carries unused bits, which have to be zero.
_CONTENT_DIGEST: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:")
_SIGNATURE: Final = re.compile(r"sig=:[A-Za-z0-9+/]{85}[AQgw]==:")
_INPUT: Final = re.compile(
    rf"sig=(?P<parameters>\({re.escape(' '.join(COMPONENTS))}\)"
    r';created=(?P<created>[1-9][0-9]{0,10});keyid="(?P<key_id>[A-Za-z0-9._-]{1,64})"'
    rf';alg="(?P<algorithm>{"|".join(keys.Algorithm)})";nonce="(?P<sequence>[1-9][0-9]{{0,14}})";tag="{TAG}")'
)
_ANSWER_INPUT: Final = re.compile(
    rf"sig=(?P<parameters>\({re.escape(' '.join(ANSWER_COMPONENTS))}\);created=(?P<created>[1-9][0-9]{{0,10}})"
    rf';keyid="(?P<key_id>[A-Za-z0-9_-]{{43}})";alg="{keys.Algorithm.ED25519}";tag="{ANSWER_TAG}")'
)
_METHOD: Final = re.compile(r"[A-Z]{1,10}")
_AUTHORITY: Final = r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?"
_HOST: Final = re.compile(_AUTHORITY)
_URL: Final = re.compile(rf"https://{_AUTHORITY}/[A-Za-z0-9._~/-]{{0,200}}")


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
    """The device that signed a request, and its sequence number."""

    key_id: str
    """The device id; to enrol, the thumbprint of the key."""
    sequence: int


@dataclass(frozen=True, slots=True)
class ParsedSignature:
    """A well-formed signature of a request, not verified yet."""

    signer: Signer
    algorithm: str
    base: bytes
    """The signature base: the bytes that were signed."""
    signature: bytes
    """64 bytes."""
    created: int
    """When it was signed, by the clock of the device, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class AnswerParameters:
    """The parameters of an answer's signature; to be trusted only once `verify_answer` has returned."""

    key_id: str
    """The thumbprint of the server's key."""
    created: int
    """When it was signed, by the server's clock, in seconds since 1970."""


# Requests


def sign(request: SignedRequest, key: keys.PrivateKey, signer: Signer, created: datetime) -> dict[str, str]:
    """Return the signature headers of ``request``; the server refuses nothing for its ``created``."""
    digest = content_digest(request.body)
    parameters = (
        f"({' '.join(COMPONENTS)});created={int(created.timestamp())}"
        f';keyid="{signer.key_id}";alg="{keys.algorithm(key)}";nonce="{signer.sequence}";tag="{TAG}"'
    )
    signature = keys.sign_bytes(key, _request_base(request, digest, parameters))
    return _headers(digest, parameters, signature)


def well_formed(headers: Mapping[str, str]) -> bool:
    """Say whether the three headers of a request's signature are there and have the form of the profile."""
    return _matched(headers, _INPUT) is not None


def parse_request(request: SignedRequest) -> ParsedSignature:
    """Take a signed request apart; ``request.url`` is the address as the device wrote it.

    Raises:
        SignatureInvalid: Not in the profile, or the body is not the one that was signed.
    """
    found = _matched(request.headers, _INPUT)
    if found is None:
        raise SignatureInvalid("the signature headers are missing or not in the profile")
    digest = request.headers["content-digest"]
    if digest != content_digest(request.body):
        raise SignatureInvalid("the body is not the one that was signed")
    if not _URL.fullmatch(request.url):
        raise SignatureInvalid("the address is not in the profile")
    if not _METHOD.fullmatch(request.method):
        raise SignatureInvalid("the method is not in the profile")
    return ParsedSignature(
        signer=Signer(found["key_id"], int(found["sequence"])),
        algorithm=found["algorithm"],
        base=_request_base(request, digest, found["parameters"]),
        signature=_signature(request.headers),
        created=int(found["created"]),
    )


def signed_by(parsed: ParsedSignature, candidates: Sequence[keys.PublicKey], nobody: keys.PublicKey) -> int | None:
    """Return the index of the key in ``candidates`` that signed; None: none of them.

    ``nobody`` is a key of which no private half exists: with it an unknown device costs as much time as a known one.
    """
    for index, key in enumerate(candidates or (nobody,)):
        if keys.algorithm(key) == parsed.algorithm and keys.signature_fits(key, parsed.signature, parsed.base):
            return index
    return None


# Answers


class AnswerSigner:
    """Signs answers with the server's key, or with another one that it still has, for a device that knows only that."""

    def __init__(self, key: Ed25519PrivateKey, others: Sequence[Ed25519PrivateKey] = ()) -> None:
        self._key_id = keys.thumbprint(key)
        self._keys = {keys.thumbprint(one): one for one in (key, *others)}
        self.named = tuple(ServerKey(kid=key_id, x=keys.jwk(one).x) for key_id, one in self._keys.items())
        """Keys that devices are to trust; the first one signs."""

    def headers(
        self, status: int, body: bytes, path: str, request_signature: str, created: int, trusted: str = ""
    ) -> dict[str, str]:
        """Return the signature headers of an answer.

        Args:
            status: Of the answer.
            body: Of the answer.
            path: Of the request.
            request_signature: The request's header ``signature``.
            created: Seconds since 1970.
            trusted: The request's header `TRUSTED_KEYS_HEADER`; empty: the device does not say what it trusts.
        """
        digest = content_digest(body)
        key_id = self._key_for(trusted)
        parameters = (
            f"({' '.join(ANSWER_COMPONENTS)});created={created}"
            f';keyid="{key_id}";alg="{keys.Algorithm.ED25519}";tag="{ANSWER_TAG}"'
        )
        base = _base(ANSWER_COMPONENTS, (str(status), digest, path, request_signature), parameters)
        return _headers(digest, parameters, self._keys[key_id].sign(base))

    def _key_for(self, trusted: str) -> str:
        """Return the id of the first key that the device trusts, or else of the first."""
        if len(self._keys) == 1 or not trusted:
            return self._key_id
        known = trusted_keys(trusted)
        return next((key_id for key_id in self._keys if key_id in known), self._key_id)


def answer_parameters(headers: Mapping[str, str]) -> AnswerParameters | None:
    """Return the parameters of an answer's signature; None: it has none in the profile."""
    found = _matched(headers, _ANSWER_INPUT)
    return None if found is None else AnswerParameters(found["key_id"], int(found["created"]))


def verify_answer(answer: SignedAnswer, request: SignedRequest, trusted: Mapping[str, Ed25519PublicKey]) -> None:
    """Check that the server signed ``answer``, and that it answers ``request`` (with its signature headers).

    ``trusted`` are the keys that this device trusts, by thumbprint.

    Raises:
        SignatureInvalid: Not signed, by a key that is not trusted, altered, or the answer to something else.
    """
    found = _matched(answer.headers, _ANSWER_INPUT)
    if found is None:
        raise SignatureInvalid("the signature headers are missing or not in the profile")
    digest = answer.headers["content-digest"]
    if digest != content_digest(answer.body):
        raise SignatureInvalid("the body is not the one that was signed")
    _, path = _authority_and_path(request.url)
    values = (str(answer.status), digest, path, request.headers["signature"])
    key = trusted.get(found["key_id"])
    base = _base(ANSWER_COMPONENTS, values, found["parameters"])
    if key is None or not keys.signature_fits(key, _signature(answer.headers), base):
        raise SignatureInvalid("the signature does not fit")


# Both


def content_digest(body: bytes) -> str:
    """Return the value of the header ``Content-Digest``."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"


def is_authority(host: str) -> bool:
    """Say whether a header ``Host`` is ``host`` or ``host:port`` and nothing else: it is signed beside the path."""
    return _HOST.fullmatch(host) is not None


def normal_authority(name: str) -> str:
    """Return ``host`` or ``host:port`` as signatures spell it: lower case, and without the port that https implies."""
    return name.lower().removesuffix(":443")


def trusted_keys(header: str) -> frozenset[str]:
    """Return the thumbprints in a header `TRUSTED_KEYS_HEADER`."""
    return frozenset(name.strip() for name in header.split(","))


def _matched(headers: Mapping[str, str], form: re.Pattern[str]) -> re.Match[str] | None:
    """Return the match of ``signature-input``; None where one of the three headers is missing or malformed."""
    digest, parameters, signature = (headers.get(name, "") for name in SIGNATURE_HEADERS)
    if not _SIGNATURE.fullmatch(signature) or not _CONTENT_DIGEST.fullmatch(digest):
        return None
    return form.fullmatch(parameters)


def _request_base(request: SignedRequest, digest: str, parameters: str) -> bytes:
    return _base(COMPONENTS, (request.method, *_authority_and_path(request.url), digest), parameters)


def _authority_and_path(url: str) -> tuple[str, str]:
    """Return ``@authority`` and ``@path`` (RFC 9421 §2.2.3, §2.2.6) of an https address."""
    authority, slash, path = url.removeprefix("https://").partition("?")[0].partition("/")
    return normal_authority(authority), slash + path


def _base(components: Sequence[str], values: Sequence[str], parameters: str) -> bytes:
    """Return the signature base (RFC 9421 §2.5)."""
    lines = [f"{component}: {value}\n" for component, value in zip(components, values, strict=True)]
    return f'{"".join(lines)}"@signature-params": {parameters}'.encode()


def _headers(digest: str, parameters: str, signature: bytes) -> dict[str, str]:
    encoded = base64.b64encode(signature).decode("ascii")
    return dict(zip(SIGNATURE_HEADERS, (digest, f"sig={parameters}", f"sig=:{encoded}:"), strict=True))


def _signature(headers: Mapping[str, str]) -> bytes:
    return base64.b64decode(headers["signature"][len("sig=:") : -1])
