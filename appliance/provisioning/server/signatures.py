"""The server's half of the signatures: verifies requests and signs answers. Pure.

The profile has one spelling, so the text that is signed is put together here directly: this is done for every request
of every device, and takes a third of what a general implementation takes. Tests hold it against one in both directions.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.provisioning.common import keys
from appliance.provisioning.common.keys import PublicKey
from appliance.provisioning.common.protocol import ServerKey
from appliance.provisioning.common.signatures import (
    ANSWER_COMPONENTS,
    ANSWER_TAG,
    SIGNATURE_HEADERS,
    SignatureInvalid,
    SignedRequest,
    Signer,
    content_digest,
)

# Checked before anything is parsed or computed, and so strict that one message has one spelling: the last character
# of a base64 text carries unused bits, which have to be zero.
_CONTENT_DIGEST: Final = re.compile(r"sha-256=:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=:")
_SIGNATURE_INPUT: Final = re.compile(
    r'sig=(?P<parameters>\("@method" "@authority" "@path" "content-digest"\)'
    r';created=(?P<created>[1-9][0-9]{0,10});keyid="(?P<key_id>[A-Za-z0-9._-]{1,64})";alg="(?P<algorithm>ed25519|ecdsa-p256-sha256)"'
    r';nonce="(?P<sequence>[1-9][0-9]{0,14})";tag="va1")'
)
_SIGNATURE: Final = re.compile(r"sig=:[A-Za-z0-9+/]{85}[AQgw]==:")
_METHOD: Final = re.compile(r"[A-Z]{1,10}")
_AUTHORITY: Final = r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?"
_HOST: Final = re.compile(_AUTHORITY)
_ADDRESS: Final = re.compile(rf"https://(?P<authority>{_AUTHORITY})(?P<path>/[A-Za-z0-9._~/-]{{0,200}})")


@dataclass(frozen=True, slots=True)
class ParsedSignature:
    """A request whose signature has the right form: whose it is, nobody knows yet."""

    signer: Signer
    algorithm: str
    base: bytes
    """What was signed."""
    signature: bytes
    """64 bytes."""
    created: int
    """When it was signed, by the clock of the device, in seconds since 1970."""


def well_formed(headers: Mapping[str, str]) -> bool:
    """Say whether the three headers of a signature are there and have the form of the profile."""
    digest, parameters, signature = (headers.get(name, "") for name in SIGNATURE_HEADERS)
    return bool(
        _SIGNATURE_INPUT.fullmatch(parameters) and _SIGNATURE.fullmatch(signature) and _CONTENT_DIGEST.fullmatch(digest)
    )


def read(request: SignedRequest) -> ParsedSignature:
    """Take a signed request apart; ``request.url`` is the address as the device wrote it.

    Raises:
        SignatureInvalid: Not in the profile, or the body is not the one that was signed.
    """
    digest, parameters, signature = (request.headers.get(name, "") for name in SIGNATURE_HEADERS)
    presented = _SIGNATURE_INPUT.fullmatch(parameters)
    if presented is None or not _SIGNATURE.fullmatch(signature) or not _CONTENT_DIGEST.fullmatch(digest):
        raise SignatureInvalid("the signature headers are missing or not in the profile")
    if digest != content_digest(request.body):
        raise SignatureInvalid("the body is not the one that was signed")
    authority, path = _address(request.url)
    if not _METHOD.fullmatch(request.method):
        raise SignatureInvalid("the method is not in the profile")
    base = (
        f'"@method": {request.method}\n"@authority": {authority}\n"@path": {path}\n"content-digest": {digest}\n'
        f'"@signature-params": {presented["parameters"]}'
    )
    return ParsedSignature(
        signer=Signer(presented["key_id"], int(presented["sequence"])),
        algorithm=presented["algorithm"],
        base=base.encode("ascii"),
        signature=base64.b64decode(signature[len("sig=:") : -1]),
        created=int(presented["created"]),
    )


def signed_by(presented: ParsedSignature, candidates: Sequence[PublicKey], nobody: PublicKey) -> int | None:
    """Return which of ``candidates`` signed, by its place; None: none of them.

    ``nobody`` is a key of which no private half exists: with it an unknown device costs as much time as a known one.
    """
    for place, key in enumerate(candidates or (nobody,)):
        if keys.algorithm(key) == presented.algorithm and keys.signature_fits(key, presented.signature, presented.base):
            return place
    return None


def _address(url: str) -> tuple[str, str]:
    """Return ``@authority`` and ``@path`` (RFC 9421 §2.2.3, §2.2.6) of an https address."""
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise SignatureInvalid("the address is not in the profile")
    return normal_authority(found["authority"]), found["path"]


def is_authority(host: str) -> bool:
    """Say whether a header ``Host`` is ``host`` or ``host:port`` and nothing else: it is signed beside the path."""
    return _HOST.fullmatch(host) is not None


def normal_authority(name: str) -> str:
    """Return ``host`` or ``host:port`` as signatures spell it: lower case, and without the port that https implies."""
    return name.lower().removesuffix(":443")


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
        """Return the headers that make an answer a signed one.

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
            f'({" ".join(ANSWER_COMPONENTS)});created={created};keyid="{key_id}";alg="ed25519";tag="{ANSWER_TAG}"'
        )
        values = (str(status), digest, path, request_signature)
        lines = [f"{component}: {value}" for component, value in zip(ANSWER_COMPONENTS, values, strict=True)]
        base = "\n".join((*lines, f'"@signature-params": {parameters}'))
        signature = base64.b64encode(self._keys[key_id].sign(base.encode("ascii"))).decode("ascii")
        return {"content-digest": digest, "signature-input": f"sig={parameters}", "signature": f"sig=:{signature}:"}

    def _key_for(self, trusted: str) -> str:
        """Return which key to sign with: the first that the device trusts, or else the first."""
        if len(self._keys) == 1 or not trusted:
            return self._key_id
        known = trusted_keys(trusted)
        return next((key_id for key_id in self._keys if key_id in known), self._key_id)


def trusted_keys(header: str) -> frozenset[str]:
    """Return the thumbprints in a header `TRUSTED_KEYS_HEADER`."""
    return frozenset(name.strip() for name in header.split(","))
