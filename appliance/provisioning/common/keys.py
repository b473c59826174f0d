"""Keys of devices and servers: Ed25519, and P-256 for keys that live in hardware. Pure.

A key is named by its thumbprint (RFC 7638). Signatures are raw, 64 bytes with either kind (P-256: r and s of 32
bytes each, RFC 9421 §3.3.4).
"""

import base64
import binascii
import hashlib
import json
from enum import StrEnum
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from appliance.provisioning.common.protocol import Jwk

PrivateKey: TypeAlias = Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey: TypeAlias = Ed25519PublicKey | ec.EllipticCurvePublicKey

_COORDINATE_BYTES: Final = 32
_DIGEST: Final = ec.ECDSA(SHA256())
_PRIME: Final = 2**255 - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8})
"""The y of all points of edwards25519 whose order divides 8 (RFC 8032). Anyone can sign for such a key."""


class Algorithm(StrEnum):
    """A signature algorithm, by its name in RFC 9421's registry. It follows from the key and is never negotiated."""

    ED25519 = "ed25519"
    P256 = "ecdsa-p256-sha256"


def algorithm(key: PrivateKey | PublicKey) -> Algorithm:
    """Return the algorithm of ``key``."""
    return Algorithm.ED25519 if isinstance(key, Ed25519PrivateKey | Ed25519PublicKey) else Algorithm.P256


def new_private_key() -> str:
    """Return a new Ed25519 private key, PEM (PKCS #8, not encrypted)."""
    return private_key_pem(Ed25519PrivateKey.generate())


def private_key_pem(key: PrivateKey) -> str:
    """Return ``key`` as PEM (PKCS #8, not encrypted)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def private_key(pem: str) -> Ed25519PrivateKey:
    """Parse a server's private key in PEM.

    Raises:
        ValueError: It is not an unencrypted Ed25519 private key.
    """
    key = _private(pem)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an unencrypted Ed25519 private key in PEM")  # noqa: TRY004  the text is wrong
    return key


def device_key(pem: str) -> PrivateKey:
    """Parse a device's private key in PEM.

    Raises:
        ValueError: It is no unencrypted Ed25519 or P-256 private key.
    """
    key = _private(pem)
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("not an unencrypted Ed25519 or P-256 private key in PEM")


def public_key(text: str) -> PublicKey:
    """Parse a public key in PEM, or an Ed25519 one as 32 bytes in base64 (as `public_key_text` writes it).

    Raises:
        ValueError: It is neither, or a key of small order.
    """
    try:
        if text.lstrip().startswith("-----BEGIN"):
            key = load_pem_public_key(text.encode())
        else:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PublicKey):
        return _checked(key)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("neither an Ed25519 public key in PEM or as 32 bytes in base64, nor a P-256 one in PEM")


def public_key_text(key: PrivateKey | PublicKey) -> str:
    """Return the public half as `public_key` reads it: 32 bytes in base64, or for P-256 PEM."""
    public = _public(key)
    if isinstance(public, Ed25519PublicKey):
        return base64.b64encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def jwk(key: PrivateKey | PublicKey) -> Jwk:
    """Return the public half as a JWK."""
    public = _public(key)
    if isinstance(public, Ed25519PublicKey):
        return Jwk(kty="OKP", crv="Ed25519", x=_base64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw)))
    point = public.public_numbers()
    x, y = (_base64url(number.to_bytes(_COORDINATE_BYTES, "big")) for number in (point.x, point.y))
    return Jwk(kty="EC", crv="P-256", x=x, y=y)


def key_of(jwk: Jwk) -> PublicKey:
    """Parse a JWK.

    Raises:
        ValueError: Its members do not belong together, or it is no point of the curve, or one of small order.
    """
    if (jwk.kty, jwk.crv) == ("OKP", "Ed25519") and jwk.y is None:
        return _checked(Ed25519PublicKey.from_public_bytes(_bytes(jwk.x)))
    if (jwk.kty, jwk.crv) == ("EC", "P-256") and jwk.y is not None:
        x, y = (int.from_bytes(_bytes(text), "big") for text in (jwk.x, jwk.y))
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raise ValueError("neither an Ed25519 nor a P-256 key")


def thumbprint(key: PrivateKey | PublicKey) -> str:
    """Return a key's thumbprint: RFC 7638, SHA-256, 43 characters."""
    members = {name: value for name, value in jwk(key).model_dump().items() if value is not None}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def sign_bytes(key: PrivateKey, data: bytes) -> bytes:
    """Return a signature: 64 bytes."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(data)
    r, s = decode_dss_signature(key.sign(data, _DIGEST))
    return r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")


def signature_fits(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Say whether ``signature`` (64 bytes) is ``key``'s signature of ``data``."""
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, data)
        else:
            r, s = (
                int.from_bytes(half, "big") for half in (signature[:_COORDINATE_BYTES], signature[_COORDINATE_BYTES:])
            )
            key.verify(encode_dss_signature(r, s), data, _DIGEST)
    except InvalidSignature:
        return False
    return True


def rotation_text(device_id: str, old: str, new: str, sequence: int) -> bytes:
    """Return the text that a new key signs to replace an old one: thumbprints, and the request's sequence number."""
    return f"{device_id}|{old}|{new}|{sequence}".encode("ascii")


def _checked(key: Ed25519PublicKey) -> Ed25519PublicKey:
    """Return a key; raises ValueError where it is a point of small order or not canonical."""
    y = int.from_bytes(key.public_bytes(Encoding.Raw, PublicFormat.Raw), "little") & (2**255 - 1)
    if y >= _PRIME or y in _SMALL_ORDER:
        raise ValueError("an Ed25519 key of small order: anyone can sign for it")
    return key


def _private(pem: str) -> object:
    """Parse any kind of private key; None where that fails."""
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The reason may quote the key.
        return None


def _public(key: PrivateKey | PublicKey) -> PublicKey:
    return key.public_key() if isinstance(key, Ed25519PrivateKey | ec.EllipticCurvePrivateKey) else key


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    """Decode base64url without padding; raises ValueError where the unused bits are not zero: one key, one spelling."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _base64url(data) != text:
        raise ValueError("base64url with stray bits")
    return data
