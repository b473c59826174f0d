import pytest

from appliance.core.events import Trouble
from appliance.core.trouble_messages import TROUBLE_MESSAGES
from appliance.errors import ClockWrong, ProvisioningUnreachable, ServerUntrusted, TokenRefused
from appliance.indicator.patterns import BLINKS
from appliance.live.connecting.connector import trouble_of
from appliance.provisioning.common.protocol import STATUS, Problem, ProblemCode
from appliance.provisioning.device.error_policy import TABLE, error_for


def error_of(status: int, problem: Problem | None = None):
    return error_for(status, problem, "https://a.example", "kitchen")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 418, 422, 426])
def test_where_a_person_is_needed_the_device_does_not_try_again(status):
    error = error_of(status)
    assert isinstance(error, TokenRefused)
    assert not error.retried


@pytest.mark.parametrize("status", [301, 408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(status):
    error = error_of(status)
    assert isinstance(error, ProvisioningUnreachable)
    assert error.retried
    assert str(status) in str(error)


LIGHTS = {
    ProblemCode.MALFORMED: Trouble.SETTINGS,
    ProblemCode.SIGNATURE_INVALID: Trouble.REFUSED,
    ProblemCode.CLAIM_INVALID: Trouble.REFUSED,
    ProblemCode.DEVICE_PENDING: Trouble.REFUSED,
    ProblemCode.DEVICE_SUSPENDED: Trouble.REFUSED,
    ProblemCode.AGENT_TOO_OLD: Trouble.SETTINGS,
    ProblemCode.NOT_FOUND: Trouble.SETTINGS,
    ProblemCode.METHOD_NOT_ALLOWED: Trouble.SETTINGS,
    ProblemCode.SEQUENCE_CONFLICT: Trouble.REFUSED,
    ProblemCode.ALREADY_MINTED: Trouble.SERVICE,
    ProblemCode.QUOTA_SESSIONS: Trouble.QUOTA,
    ProblemCode.QUOTA_MINUTES: Trouble.QUOTA,
    ProblemCode.RATE_LIMITED: Trouble.QUOTA,
    ProblemCode.CONCURRENCY: Trouble.QUOTA,
    ProblemCode.TOO_LARGE: Trouble.SETTINGS,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: Trouble.SETTINGS,
    ProblemCode.INVALID_REQUEST: Trouble.SETTINGS,
    ProblemCode.INTERNAL: Trouble.SERVICE,
    ProblemCode.OVERLOADED: Trouble.SERVICE,
    ProblemCode.UPSTREAM_REJECTED: Trouble.SERVICE,
    ProblemCode.UPSTREAM_UNAVAILABLE: Trouble.SERVICE,
    ProblemCode.UPSTREAM_QUOTA: Trouble.QUOTA,
    ProblemCode.DRAINING: Trouble.SERVICE,
}


@pytest.mark.parametrize("code", ProblemCode)
def test_every_code_has_its_light_and_words(code):
    error = error_of(STATUS[code], Problem(code=code.value))
    trouble = trouble_of(error)
    assert trouble is LIGHTS[code]
    assert BLINKS[trouble]
    assert TROUBLE_MESSAGES[trouble]
    assert error.retried is not TABLE[code].needs_person
    assert ("{" in str(error)) is False


def test_a_clock_that_is_wrong_and_a_server_that_is_another_have_lights_of_their_own():
    assert trouble_of(ClockWrong("x")) is Trouble.CLOCK
    assert trouble_of(ServerUntrusted("x")) is Trouble.NETWORK


@pytest.mark.parametrize("code", ProblemCode)
def test_every_code_of_the_server_is_named_in_one_line(code):
    error = error_of(STATUS[code], Problem(code=code.value))
    assert code in str(error)
    assert "\n" not in str(error)
    assert "https://a.example" in str(error)


@pytest.mark.parametrize("code", ProblemCode)
def test_a_device_that_has_no_name_yet_is_called_this_device(code):
    words = str(error_for(STATUS[code], Problem(code=code.value), "https://a.example", None))
    assert "None" not in words
    assert "''" not in words
    assert ("this device" in words) is ("{device}" in TABLE[code].message or "this device" in TABLE[code].message)


def test_a_wait_that_is_asked_for_is_told():
    assert "30 s" in str(error_of(503, Problem(code="upstream-quota", retry_after=30)))


def test_of_what_a_server_says_only_the_code_is_repeated():
    error = error_of(401, Problem(code="signature-invalid", detail="call 555-1234\n", title="Win"))
    assert "555" not in str(error)
    assert "Win" not in str(error)
