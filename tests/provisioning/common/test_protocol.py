from datetime import timedelta

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from appliance.provisioning.common.protocol import (
    STATUS,
    HttpsUrl,
    Problem,
    ProblemCode,
    Purpose,
    TokenMode,
    TokenRequest,
    TokenResponse,
)
from tests.support.provisioning import NOW, TOKEN


def response() -> TokenResponse:
    return TokenResponse(
        token=SecretStr(TOKEN),
        model="gemini-3.8-live",
        api_version="v1alpha",
        new_session_expires_at=NOW + timedelta(seconds=60),
        expires_at=NOW + timedelta(minutes=16),
        server_time=NOW,
    )


def test_an_answer_survives_the_wire_and_shows_its_token_nowhere_else():
    text = response().model_dump_json()
    assert TOKEN in text
    assert TokenResponse.model_validate_json(text) == response()
    assert TOKEN not in repr(response())
    assert TOKEN not in str(response().model_dump())


def test_a_device_ignores_fields_of_a_newer_server():
    text = response().model_dump_json().replace('"token"', '"quota":{"left":3},"token"')
    assert TokenResponse.model_validate_json(text) == response()


def test_a_broken_answer_is_refused_without_quoting_the_token():
    text = response().model_dump_json().replace("v1alpha", "../v1")
    with pytest.raises(ValidationError) as caught:
        TokenResponse.model_validate_json(text)
    assert TOKEN not in str(caught.value)


def test_the_server_refuses_fields_it_does_not_know():
    asked = TokenRequest(mode=TokenMode.WAKE, purpose=Purpose.NEW)
    assert TokenRequest.model_validate_json(asked.model_dump_json()) == asked
    with pytest.raises(ValidationError):
        TokenRequest.model_validate_json('{"mode":"wake","purpose":"new","model":"dearer"}')


@pytest.mark.parametrize(
    "url", ["https://a.example", "https://a.example:8443/live", "https://[::1]:1", "https://127.0.0.1:8443/"]
)
def test_an_https_address_is_one(url):
    assert TypeAdapter(HttpsUrl).validate_python(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "https://",
        "https://me@a.example",
        "https://a.example?x",
        "https://a b",
        "https://a\n",
        "https://a:0",
        "https://a:65536",
        "https://a:99999",
        "https://[1]",
        "https://[12:34:56]:8443",
        "https://[...]",
    ],
)
def test_anything_else_is_not(url):
    with pytest.raises(ValidationError):
        TypeAdapter(HttpsUrl).validate_python(url)


def test_every_problem_has_a_status_and_its_code_is_one_a_device_can_read():
    assert set(STATUS) == set(ProblemCode)
    for code in ProblemCode:
        assert Problem(code=code.value).code == code
