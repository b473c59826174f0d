"""The server's own signatures, held against the library."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.provisioning.common import keys
from appliance.provisioning.common import signatures as signing
from appliance.provisioning.server import signatures
from tests.provisioning.worlds import KEY, SERVER_KEY

CREATED = datetime(2026, 11, 20, tzinfo=UTC)
P256 = ec.generate_private_key(ec.SECP256R1())
NOBODY = keys.private_key(keys.new_private_key()).public_key()
PATHS = st.from_regex(r"/v1/[a-z0-9._~/-]{0,60}", fullmatch=True)
HOSTS = st.sampled_from(["a.example", "A.Example:8443", "127.0.0.1:1", "[::1]:65535", "x-y.example:443"])


@settings(max_examples=80)
@given(
    key=st.sampled_from([KEY, P256]),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    host=HOSTS,
    path=PATHS,
    body=st.binary(max_size=200),
    sequence=st.integers(1, 10**15 - 1),
)
def test_what_the_library_signs_the_server_accepts(key, method, host, path, body, sequence):
    request = signing.SignedRequest(method, f"https://{host}{path}", {}, body)
    headers = signing.sign(request, key, signing.Signer("kitchen", sequence), CREATED)
    presented = signatures.read(signing.SignedRequest(method, request.url, headers, body))
    assert presented.signer == signing.Signer("kitchen", sequence)
    assert signatures.signed_by(presented, [NOBODY, key.public_key()], NOBODY) == 1
    assert signatures.signed_by(presented, [NOBODY], NOBODY) is None
    assert signatures.signed_by(presented, [], NOBODY) is None


@settings(max_examples=80)
@given(status=st.integers(200, 599), path=PATHS, body=st.binary(max_size=200))
def test_what_the_server_signs_the_library_accepts(status, path, body):
    request = signing.SignedRequest("POST", f"https://a.example{path}", {}, b"{}")
    asked = signing.SignedRequest(
        "POST", request.url, signing.sign(request, KEY, signing.Signer("kitchen", 1), CREATED), b"{}"
    )
    headers = signatures.AnswerSigner(SERVER_KEY).headers(status, body, path, asked.headers["signature"], 1)
    answer = signing.SignedAnswer(status, headers, body)
    signing.verify_answer(answer, asked, {keys.thumbprint(SERVER_KEY): SERVER_KEY.public_key()})


def test_a_key_signs_in_its_own_way_only():
    request = signing.SignedRequest("POST", "https://a.example/v1/tokens", {}, b"")
    headers = signing.sign(request, P256, signing.Signer("kitchen", 1), CREATED)
    headers["signature-input"] = headers["signature-input"].replace("ecdsa-p256-sha256", "ed25519")
    presented = signatures.read(signing.SignedRequest("POST", request.url, headers, b""))
    assert signatures.signed_by(presented, [P256.public_key()], NOBODY) is None


@pytest.mark.parametrize(
    "url", ["http://a.example/v1", "https://a.example/v1?x=1", "https://me@a.example/v1", "https://[::1/v1", "nonsense"]
)
def test_an_address_outside_the_profile_is_refused(url):
    headers = signing.sign(
        signing.SignedRequest("POST", "https://a.example/v1", {}, b""), KEY, signing.Signer("kitchen", 1), CREATED
    )
    with pytest.raises(signing.SignatureInvalid, match="address"):
        signatures.read(signing.SignedRequest("POST", url, headers, b""))
