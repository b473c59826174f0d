"""The interface as it is described, tried by a generator: signed requests of every shape, and unsigned ones."""

from types import ModuleType
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.provisioning.common.protocol import MAX_REQUEST_BYTES, Problem, ProblemCode
from tests.support.provisioning import KEY, OPEN, SERVER, World, refused, world

FREE = {"sessions_day": 0, "minutes_month": 0, "burst": 0, "concurrent": 0, "clone_conflicts_day": 0}


@pytest.fixture
def described() -> ModuleType:
    """Imported by whichever process needs it, not by every one that collects tests."""
    from tests.provisioning.server import described  # noqa: PLC0415

    return described


def server() -> World:
    """Return one server for all examples of a test; `worlds.OPEN` ends with it."""
    if not MADE or MADE[-1].store not in OPEN:
        MADE[:] = [world(limits=FREE)]
    return MADE[-1]


MADE: list[World] = []
# What has to come up at least.
GOOD = {
    "POST /v1/tokens": {200, 422},
    "POST /v1/enroll": {422},
    "GET /v1/device": {200},
    "DELETE /v1/device": {204},
    "POST /v1/device/rotate": {422},
    "POST /v1/sessions/{session_id}/events": {404, 422},
}


@pytest.mark.parametrize(
    "label",
    [label if label.endswith("tokens") else pytest.param(label, marks=pytest.mark.slow) for label in GOOD],
)
def test_every_answer_is_one_that_is_described(described: ModuleType, label: str):
    seen = described.tried(world(limits=FREE), label)
    assert seen >= GOOD[label]
    assert max(seen) < 500


def test_no_operation_is_left_out(described: ModuleType):
    assert set(described.operations()) == set(GOOD)


@settings(max_examples=150)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]),
    path=st.one_of(
        st.sampled_from(["/v1/tokens", "/v1/enroll", "/v1/device", "/v1/device/rotate", "/v1/", "/v1/tokens/"]),
        st.from_regex(r"/[ -~]{0,30}", fullmatch=True).map(lambda text: quote(text, safe="/")),
    ),
    headers=st.dictionaries(
        st.sampled_from(["content-digest", "signature-input", "signature", "content-type", "host", "user-agent", "x"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80),
        max_size=6,
    ),
    body=st.binary(max_size=100),
)
async def test_junk_is_refused_as_a_problem_whatever_it_is(method, path, headers, body):
    async with httpx2.AsyncClient(transport=server().transport) as http:
        response = await http.request(method, f"{SERVER}{path}", content=body, headers=headers)
    if path.startswith("/v1/"):
        refused(response, ProblemCode.SIGNATURE_INVALID)
    else:
        assert response.status_code in {200, 404, 405}


@settings(max_examples=80)
@given(body=st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)))
async def test_a_signed_body_of_any_bytes_is_refused_in_order(body):
    for path in ("/v1/tokens", "/v1/enroll", "/v1/device/rotate"):
        response = await server().ask("POST", path, body, key=KEY)
        problem = Problem.model_validate_json(response.content)
        assert problem.code in {"invalid-request", "signature-invalid"}
        assert len(response.content) < MAX_REQUEST_BYTES
