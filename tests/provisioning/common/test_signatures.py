"""Signatures, held against the bytes of the RFC and against a general implementation of it."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.provisioning.common import keys, signatures
from appliance.provisioning.common.keys import PublicKey, thumbprint
from appliance.provisioning.common.signatures import (
    SIGNATURE_HEADERS,
    SignatureInvalid,
    SignedAnswer,
    SignedRequest,
    Signer,
)
from tests.support.provisioning import ASKED, DEVICE, KEY, PEM, SERVER_KEY

URL = "https://provisioning.test:8443/v1/tokens"
CREATED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
KEYS = {DEVICE: KEY.public_key()}
P256 = ec.generate_private_key(ec.SECP256R1())
NOBODY = Ed25519PrivateKey.generate().public_key()


def signed(**changed) -> SignedRequest:
    signer = Signer(changed.pop("device", DEVICE), changed.pop("sequence", 7))
    created = changed.pop("created", CREATED)
    key = changed.pop("key", KEY)
    parts = {"method": "POST", "url": URL, "headers": {}, "body": ASKED, **changed}
    request = SignedRequest(**parts)
    return SignedRequest(**{**parts, "headers": signatures.sign(request, key, signer, created)})


def by_hand(request: SignedRequest, sequence: int) -> dict[str, str]:
    """RFC 9421 §2.5 and RFC 9530 §2, written out."""
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(request.body).digest()).decode()}:"
    parameters = (
        '("@method" "@authority" "@path" "content-digest")'
        f';created=1;keyid="{DEVICE}";alg="ed25519";nonce="{sequence}";tag="va1"'
    )
    lines = (
        f'"@method": {request.method}',
        '"@authority": provisioning.test:8443',
        '"@path": /v1/tokens',
        f'"content-digest": {digest}',
        f'"@signature-params": {parameters}',
    )
    signature = base64.b64encode(KEY.sign("\n".join(lines).encode())).decode()
    return {"content-digest": digest, "signature-input": f"sig={parameters}", "signature": f"sig=:{signature}:"}


def verify(request: SignedRequest, known: Mapping[str, PublicKey] = KEYS) -> Signer:
    parsed = signatures.parse_request(request)
    key = known.get(parsed.signer.key_id)
    if signatures.signed_by(parsed, (key,) if key else (), NOBODY) is None:
        raise SignatureInvalid("the signature does not fit")
    return parsed.signer


# The library, as the oracle

PATHS = st.from_regex(r"/v1/[a-z0-9._~/-]{0,60}", fullmatch=True)
HOSTS = st.sampled_from(["a.example", "A.Example:8443", "127.0.0.1:1", "[::1]:65535", "x-y.example:443"])
LIBRARY = {keys.Algorithm.ED25519: algorithms.ED25519, keys.Algorithm.P256: algorithms.ECDSA_P256_SHA256}


@dataclass
class Asked:
    """A request as the library reads and writes it."""

    method: str
    url: str
    headers: dict[str, str]


@dataclass
class Answered:
    status_code: int
    headers: dict[str, str]
    request: Asked


class OneKey(HTTPSignatureKeyResolver):
    def __init__(self, key: keys.PrivateKey) -> None:
        self.key = key

    def resolve_private_key(self, key_id: str) -> keys.PrivateKey:
        del key_id
        return self.key

    def resolve_public_key(self, key_id: str) -> PublicKey:
        del key_id
        return self.key.public_key()


class TimelessVerifier(HTTPMessageVerifier):
    max_clock_skew = timedelta(days=365 * 1000)


def signed_by_the_library(request: SignedRequest, key: keys.PrivateKey, signer: Signer) -> dict[str, str]:
    message = Asked(request.method, request.url, {})
    HTTPMessageSigner(signature_algorithm=LIBRARY[keys.algorithm(key)], key_resolver=OneKey(key)).sign(
        message,
        key_id=signer.key_id,
        created=CREATED,
        nonce=str(signer.sequence),
        label="sig",
        tag=signatures.TAG,
        covered_component_ids=[component.strip('"') for component in signatures.COMPONENTS],
        body=request.body,
    )
    return {name.lower(): value for name, value in message.headers.items()}


def verify_by_the_library(message: Asked | Answered, key: keys.PrivateKey, tag: str, body: bytes) -> None:
    of_answer = isinstance(message, Answered)
    TimelessVerifier(signature_algorithm=LIBRARY[keys.algorithm(key)], key_resolver=OneKey(key)).verify(
        message,
        max_age=None,
        expect_tag=tag,
        expect_label="sig",
        require_components=signatures.ANSWER_COMPONENTS if of_answer else signatures.COMPONENTS,
        body=body,
    )


@settings(deadline=None, max_examples=80)
@given(
    key=st.sampled_from([KEY, P256]),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    host=HOSTS,
    path=PATHS,
    body=st.binary(max_size=200),
    sequence=st.integers(1, 10**15 - 1),
)
def test_the_library_and_we_sign_requests_alike(key, method, host, path, body, sequence):
    request = SignedRequest(method, f"https://{host}{path}", {}, body)
    signer = Signer("kitchen", sequence)
    theirs, ours = signed_by_the_library(request, key, signer), signatures.sign(request, key, signer, CREATED)
    for name in SIGNATURE_HEADERS[: 2 if key is P256 else 3]:  # P-256 signs the same text anew each time
        assert ours[name] == theirs[name]
    verify_by_the_library(Asked(method, request.url, ours), key, signatures.TAG, body)
    for headers in (theirs, ours):
        parsed = signatures.parse_request(replace(request, headers=headers))
        assert parsed.signer == signer
        assert signatures.signed_by(parsed, [NOBODY, key.public_key()], NOBODY) == 1
        assert signatures.signed_by(parsed, [NOBODY], NOBODY) is None
        assert signatures.signed_by(parsed, [], NOBODY) is None


@settings(deadline=None, max_examples=80)
@given(status=st.integers(200, 599), host=HOSTS, path=PATHS, body=st.binary(max_size=200))
def test_the_library_and_we_accept_answers_alike(status, host, path, body):
    asked = signed(url=f"https://{host}{path}")
    headers = signatures.AnswerSigner(SERVER_KEY).headers(status, body, path, asked.headers["signature"], 1)
    signatures.verify_answer(
        SignedAnswer(status, headers, body), asked, {thumbprint(SERVER_KEY): SERVER_KEY.public_key()}
    )
    answered = Answered(status, headers, Asked(asked.method, asked.url, dict(asked.headers)))
    verify_by_the_library(answered, SERVER_KEY, signatures.ANSWER_TAG, body)


# The profile


def test_a_signed_request_names_its_device_and_number():
    assert verify(signed()) == Signer(DEVICE, 7)
    assert set(signed().headers) == set(SIGNATURE_HEADERS)


def test_a_signature_written_out_by_hand_is_accepted():
    request = SignedRequest("POST", URL, {}, ASKED)
    assert verify(SignedRequest("POST", URL, by_hand(request, 8), ASKED)) == Signer(DEVICE, 8)


def test_our_signature_fits_the_base_written_out_by_hand():
    headers = signed(created=datetime.fromtimestamp(1, UTC)).headers
    assert headers == by_hand(SignedRequest("POST", URL, {}, ASKED), 7)


@pytest.mark.parametrize("year", [1970, 2000, 2026, 2100])
def test_the_clock_of_the_device_does_not_matter(year):
    assert verify(signed(created=datetime(year, 1, 2, tzinfo=UTC)))


def test_the_default_port_is_no_part_of_the_name():
    request = signed(url="https://provisioning.test:443/v1/tokens")
    assert verify(SignedRequest("POST", "https://provisioning.test/v1/tokens", request.headers, ASKED))


def flipped(text: str) -> Iterator[str]:
    """Yield what ``text`` is with any one bit of it changed."""
    for at, character in enumerate(text):
        for bit in range(8):
            yield text[:at] + chr(ord(character) ^ 1 << bit) + text[at + 1 :]


@pytest.mark.parametrize("key", [KEY, P256], ids=["ed25519", "p256"])
@pytest.mark.parametrize("part", ["method", "url", "body", *SIGNATURE_HEADERS])
def test_no_bit_of_a_request_can_be_changed(part, key):
    request = signed(key=key)
    parts = {"method": request.method, "url": request.url, "body": ASKED.decode(), **request.headers}
    assert verify(request, {DEVICE: key.public_key()})
    for other in flipped(parts[part]):
        # The scheme is no part of the signature: TLS may end before the server. The letters of a host have no case.
        if part == "url" and (not other.startswith("https://") or other.lower() == request.url):
            continue
        altered = {**parts, part: other}
        method, url, body = (altered.pop(name) for name in ("method", "url", "body"))
        with pytest.raises(SignatureInvalid):
            verify(SignedRequest(method, url, altered, body.encode("latin-1")), {DEVICE: key.public_key()})


@pytest.mark.parametrize("part", ["status", "body", "path", "asked", *SIGNATURE_HEADERS])
def test_no_bit_of_an_answer_and_of_what_it_answers_can_be_changed(part):
    trusted = {thumbprint(SERVER_KEY): SERVER_KEY.public_key()}
    request = signed()
    headers = signatures.AnswerSigner(SERVER_KEY).headers(
        200, b'{"a": 1}', "/v1/tokens", request.headers["signature"], 1
    )
    parts = {"status": "200", "body": '{"a": 1}', "path": request.url, "asked": request.headers["signature"], **headers}

    def check(parts: Mapping[str, str]) -> None:
        answer = SignedAnswer(
            int(parts["status"]), {n: parts[n] for n in SIGNATURE_HEADERS}, parts["body"].encode("latin-1")
        )
        asked = replace(request, url=parts["path"], headers={**request.headers, "signature": parts["asked"]})
        signatures.verify_answer(answer, asked, trusted)

    check(parts)
    for other in flipped(parts[part]):
        if (part == "status" and not other.isdecimal()) or (
            part == "path" and not other.startswith(URL.removesuffix("v1/tokens"))
        ):
            continue
        with pytest.raises(SignatureInvalid):
            check({**parts, part: other})


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("ed25519", "ecdsa-p256-sha256"),
        ("ed25519", "hmac-sha256"),
        (';alg="ed25519"', ""),
        ('"@status" ', ""),
        (' "content-digest"', ""),
        (' "signature";req', ""),
        ('"va1s"', '"va1"'),
        ("$", ";expires=9999999999"),
    ],
)
def test_an_answer_that_asks_for_less_is_none(pattern, replacement):
    headers = signatures.AnswerSigner(SERVER_KEY).headers(200, b"", "/v1/tokens", signed().headers["signature"], 1)
    assert signatures.answer_parameters(headers) is not None
    assert signatures.answer_parameters(edited(headers, "signature-input", pattern, replacement)) is None


@settings(deadline=None, max_examples=100)
@given(
    headers=st.dictionaries(st.sampled_from(SIGNATURE_HEADERS), st.text(max_size=40)),
    body=st.binary(max_size=20),
)
def test_whatever_is_sent_is_refused_in_order(headers, body):
    with pytest.raises(SignatureInvalid):
        verify(SignedRequest("POST", URL, headers, body))


@settings(deadline=None, max_examples=50)
@given(url=st.text(max_size=60), method=st.text(max_size=10))
def test_whatever_it_was_sent_to_is_refused_in_order(url, method):
    with pytest.raises(SignatureInvalid):
        verify(SignedRequest(method, url, signed().headers, ASKED))


def test_a_signature_has_one_spelling():
    # In front of the padding four bits are not used: this decodes to the same signature.
    request = signed()
    last = request.headers["signature"][-4]
    other = chr(ord(last) + 1)
    headers = edited(request.headers, "signature", f"{last}==:$", f"{other}==:")
    assert base64.b64decode(headers["signature"][5:-1]) == base64.b64decode(request.headers["signature"][5:-1])
    with pytest.raises(SignatureInvalid, match="profile"):
        verify(replace(request, headers=headers))


def test_an_unknown_device_and_a_wrong_key_are_refused():
    with pytest.raises(SignatureInvalid):
        verify(signed(device="stranger"))
    with pytest.raises(SignatureInvalid):
        verify(signed(), {DEVICE: NOBODY})


def edited(headers: Mapping[str, str], name: str, pattern: str, replacement: str) -> dict[str, str]:
    changed = re.sub(pattern, replacement, headers[name])
    assert changed != headers[name]
    return {**headers, name: changed}


@pytest.mark.parametrize(
    ("name", "pattern", "replacement"),
    [
        ("signature-input", r"$", ";expires=9999999999"),
        ("signature-input", "ed25519", "hmac-sha256"),
        ("signature-input", ';alg="ed25519"', ""),
        ("signature-input", ' "content-digest"', ""),
        ("signature-input", '"@method" "@authority"', '"@authority" "@method"'),
        ("signature-input", 'nonce="7"', 'nonce="07"'),
        ("signature-input", 'nonce="7"', 'nonce="0"'),
        ("signature-input", 'nonce="7"', 'nonce="' + "9" * 16 + '"'),
        ("signature-input", "^sig=", "other="),
        ("signature", "^(.*)$", r"\1, other=:AAAA:"),
        ("content-digest", "^(.*)$", r"\1, sha-512=:AAAA:"),
        ("content-digest", "sha-256", "sha-512"),
    ],
)
def test_anything_outside_the_profile_is_refused(name, pattern, replacement):
    request = signed()
    with pytest.raises(SignatureInvalid, match="profile"):
        verify(SignedRequest("POST", URL, edited(request.headers, name, pattern, replacement), ASKED))


def test_a_key_signs_in_its_own_way_only():
    request = SignedRequest("POST", "https://a.example/v1/tokens", {}, b"")
    headers = signatures.sign(request, P256, Signer("kitchen", 1), CREATED)
    headers["signature-input"] = headers["signature-input"].replace("ecdsa-p256-sha256", "ed25519")
    parsed = signatures.parse_request(SignedRequest("POST", request.url, headers, b""))
    assert signatures.signed_by(parsed, [P256.public_key()], NOBODY) is None


@pytest.mark.parametrize(
    "url", ["http://a.example/v1", "https://a.example/v1?x=1", "https://me@a.example/v1", "https://[::1/v1", "nonsense"]
)
def test_an_address_outside_the_profile_is_refused(url):
    headers = signatures.sign(
        SignedRequest("POST", "https://a.example/v1", {}, b""), KEY, Signer("kitchen", 1), CREATED
    )
    with pytest.raises(SignatureInvalid, match="address"):
        signatures.parse_request(SignedRequest("POST", url, headers, b""))


def test_keys_are_read_from_every_form_they_are_written_in():
    assert keys.public_key_text(keys.private_key(PEM)) == keys.public_key_text(KEY.public_key())
    assert keys.public_key(keys.public_key_text(KEY)) == KEY.public_key()
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert keys.public_key(pem) == KEY.public_key()


@pytest.mark.parametrize("text", ["", "kitchen", "AAAA", PEM.replace("M", "N"), "-----BEGIN PUBLIC KEY-----"])
def test_what_is_no_key_is_refused_and_not_quoted(text):
    for read in (keys.public_key, keys.private_key):
        with pytest.raises(ValueError, match=r"(not|neither) an") as caught:
            read(text)
        assert not text or text not in str(caught.value)
