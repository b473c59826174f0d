import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.provisioning import keys
from appliance.provisioning.protocol import Jwk

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
