import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import Jwk, ServerKey
from appliance.provisioning.device import identity

BOTH: list[keys.PrivateKey] = [Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())]
KINDS = pytest.mark.parametrize("key", BOTH, ids=["ed25519", "p256"])


def test_the_thumbprint_is_that_of_rfc_8037():
    # RFC 8037, appendix A.3.
    jwk = Jwk(kty="OKP", crv="Ed25519", x="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
    assert keys.thumbprint(keys.key_of(jwk)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@KINDS
def test_a_key_survives_the_wire_and_the_store(key):
    for again in (keys.key_of(keys.jwk(key)), keys.public_key(keys.public_key_text(key))):
        assert keys.thumbprint(again) == keys.thumbprint(key)
        assert keys.algorithm(again) is keys.algorithm(key)


@KINDS
def test_a_signature_is_64_bytes_and_fits_its_key_and_text_only(key):
    signature = keys.sign_bytes(key, b"text")
    assert len(signature) == 64
    public = key.public_key()
    assert keys.signature_fits(public, signature, b"text")
    assert not keys.signature_fits(public, signature, b"texts")
    assert not keys.signature_fits(public, bytes(64), b"text")
    assert not keys.signature_fits(public, signature[::-1], b"text")


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "OKP", "crv": "P-256", "x": "A" * 43},
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "y": "A" * 43},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "OKP", "crv": "Ed25519", "x": "A" * 42 + "B"},
    ],
)
def test_what_is_no_key_is_refused(jwk):
    with pytest.raises(ValueError, match=r"key|bits|curve|point"):
        keys.key_of(Jwk.model_validate(jwk))


def test_another_curve_is_no_key_of_ours():
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(ValueError, match="neither"):
        keys.public_key(pem)


ORDER_8 = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
SMALL_ORDER = [
    bytes.fromhex(text)
    for text in (
        "01" + "00" * 31,
        "00" * 32,
        "00" * 31 + "80",
        "ec" + "ff" * 30 + "7f",
        ORDER_8,
        ORDER_8[:-2] + "fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    )
]
"""All eight points, as RFC 8032 writes them."""


@pytest.mark.parametrize("raw", SMALL_ORDER, ids=bytes.hex)
def test_a_key_for_which_everybody_can_sign_is_none(raw):
    public = Ed25519PublicKey.from_public_bytes(raw)
    texts = (bytes([number]) for number in range(256))
    forged = ((r + bytes(32), text) for text in texts for r in SMALL_ORDER)
    assert any(keys.signature_fits(public, signature, text) for signature, text in forged)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    with pytest.raises(ValueError, match="anyone"):
        keys.key_of(Jwk(kty="OKP", crv="Ed25519", x=x))
    with pytest.raises(ValueError, match="anyone"):
        keys.public_key(base64.b64encode(raw).decode())
    with pytest.raises(ValueError, match="anyone"):
        keys.public_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    assert identity.trusted_keys((ServerKey(kid=keys.thumbprint(public), x=x),)) == {}


def test_a_key_has_one_spelling():
    """2**255 - 18 is the y of the neutral point once more."""
    raw = (2**255 - 18).to_bytes(32, "little")
    with pytest.raises(ValueError, match="anyone"):
        keys.public_key(base64.b64encode(raw).decode())
