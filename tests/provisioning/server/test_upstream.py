import json
import logging
import re
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from google.genai import types

from appliance.errors import ConfigurationError
from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server.ports import MintSpec, UpstreamError
from appliance.provisioning.server.upstream import ALWAYS_LOCKED, FIELDS, GeminiUpstream, LockPolicy, token_config
from tests.support.provisioning import API_KEY, NOW, TOKEN, dead_address, server_settings
from tests.support.token_service import token_service

SPEC = MintSpec("gemini-3.8-live", NOW + timedelta(minutes=1), NOW + timedelta(minutes=16))


def test_every_field_of_the_sdks_set_up_is_classified():
    assert set(FIELDS) == set(types.LiveConnectConfig.model_fields)


def test_what_is_always_locked_is_named_as_a_field_mask_names_it():
    always = {name for name, chosen in FIELDS.items() if chosen is LockPolicy.ALWAYS_LOCKED}
    camel = {re.sub(r"_(.)", lambda m: m[1].upper(), name) for name in always}
    assert {path.rpartition(".")[2] for path in ALWAYS_LOCKED} == camel


def test_the_handle_and_the_detection_of_speech_stay_the_devices():
    for name in ("session_resumption", "realtime_input_config"):
        assert FIELDS[name] is LockPolicy.BY_DEVICE


def test_a_token_holds_only_fields_that_the_server_chooses():
    config = token_config(replace(SPEC, voice="Kore", language="de-DE", instruction="Be brief."))
    assert config.live_connect_constraints
    assert config.live_connect_constraints.config
    held = config.live_connect_constraints.config.model_dump(exclude_none=True)
    assert set(held) == {name for name, chosen in FIELDS.items() if chosen is LockPolicy.BY_SERVER}


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("chosen", "mask"),
    [
        ({}, set()),
        ({"voice": "Kore"}, {"generationConfig.speechConfig"}),
        ({"language": "de-DE"}, {"generationConfig.speechConfig"}),
        ({"instruction": "Be brief."}, {"systemInstruction.parts", "systemInstruction.role"}),
        ({"has_tools": False}, {"tools"}),
    ],
)
async def test_the_wire_carries_one_use_both_times_and_a_mask_of_just_what_is_locked(
    tmp_path, monkeypatch, chosen, mask
):
    # Each of these would send the key elsewhere.
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://elsewhere.test")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v9")

    async with token_service(tmp_path / "ca.pem") as service:
        settings = server_settings(upstream={"base_url": service.url, "ca_file": tmp_path / "ca.pem"})
        async with aclosing(GeminiUpstream(settings, API_KEY)) as upstream:
            for _ in range(2):
                assert await upstream.mint(replace(SPEC, **chosen)) == TOKEN
    (line, headers, body), again = service.requests
    assert again[2] == body
    assert line == "POST /v1alpha/auth_tokens HTTP/1.1"
    assert headers["x-goog-api-key"] == API_KEY
    assert body["uses"] == 1
    assert datetime.fromisoformat(body["newSessionExpireTime"]) == SPEC.new_session_expires_at
    assert datetime.fromisoformat(body["expireTime"]) == SPEC.expires_at
    assert body["bidiGenerateContentSetup"]["model"] == "models/gemini-3.8-live"
    assert set(body["fieldMask"].split(",")) == mask | {
        "model",
        "generationConfig.responseModalities",
        *ALWAYS_LOCKED,
    }
    assert "_" not in body["fieldMask"]


@pytest.mark.realtime
async def test_whatever_goes_wrong_is_told_by_its_code_and_no_log_holds_a_secret(tmp_path, caplog):
    quoting = json.dumps({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": f"api_key:{API_KEY}"}})
    expected = [
        (400, quoting, ProblemCode.UPSTREAM_REJECTED),
        (403, quoting, ProblemCode.UPSTREAM_REJECTED),
        (404, "<html>", ProblemCode.UPSTREAM_REJECTED),
        (429, "{}", ProblemCode.UPSTREAM_QUOTA),
        (500, "{}", ProblemCode.UPSTREAM_UNAVAILABLE),
        (503, "[]", ProblemCode.UPSTREAM_UNAVAILABLE),
        (302, "{}", ProblemCode.UPSTREAM_UNAVAILABLE),
        (200, "{}", ProblemCode.UPSTREAM_UNAVAILABLE),
        (200, "", ProblemCode.UPSTREAM_UNAVAILABLE),
        (200, "<html>", ProblemCode.UPSTREAM_UNAVAILABLE),
        (200, "[1]", ProblemCode.UPSTREAM_UNAVAILABLE),
        (200, '{"name": 7}', ProblemCode.UPSTREAM_UNAVAILABLE),
        (200, '{"name": "key"}', ProblemCode.UPSTREAM_UNAVAILABLE),
        (0, "", ProblemCode.UPSTREAM_UNAVAILABLE),
    ]

    with caplog.at_level(logging.DEBUG):
        async with token_service(tmp_path / "ca.pem") as service:
            access = {"base_url": service.url, "ca_file": tmp_path / "ca.pem", "timeout_s": 0.5}
            async with aclosing(GeminiUpstream(server_settings(upstream=access), API_KEY)) as upstream:
                assert await upstream.mint(SPEC) == TOKEN
                for status, body, code in expected:
                    service.status = status
                    service.body = body.encode() if status else None
                    with pytest.raises(UpstreamError) as caught:
                        await upstream.mint(SPEC)
                    assert caught.value.code is code, (status, body)
                    assert API_KEY not in str(caught.value)
                assert API_KEY not in repr(upstream)
    assert API_KEY not in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.realtime
async def test_a_dead_service_and_one_with_another_certificate_are_unavailable(tmp_path):
    async with token_service(tmp_path / "ca.pem") as service:
        with dead_address() as dead:
            for url in (dead, service.url):
                async with aclosing(GeminiUpstream(server_settings(upstream={"base_url": url}), API_KEY)) as upstream:
                    with pytest.raises(UpstreamError) as caught:
                        await upstream.mint(SPEC)
                    assert caught.value.code is ProblemCode.UPSTREAM_UNAVAILABLE
    assert service.requests == []


def test_certificates_that_are_none_are_a_wrong_setting(tmp_path):
    with pytest.raises(ConfigurationError, match=r"upstream\.ca_file"):
        GeminiUpstream(server_settings(upstream={"ca_file": tmp_path / "absent.pem"}), API_KEY)


def test_a_proxy_that_cannot_be_used_is_a_wrong_environment(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match="environment: a proxy"):
        GeminiUpstream(server_settings(), API_KEY)
