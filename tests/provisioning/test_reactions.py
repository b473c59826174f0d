import pytest

from appliance.errors import ProvisioningUnreachable, TokenRefused
from appliance.provisioning.protocol import STATUS, Problem, ProblemCode
from appliance.provisioning.reactions import refusal


def reaction(status: int, problem: Problem | None = None):
    return refusal(status, problem, "https://a.example", "kitchen")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 415, 422, 426])
def test_where_a_person_is_needed_the_device_does_not_try_again(status):
    error = reaction(status)
    assert isinstance(error, TokenRefused)
    assert not error.retried


@pytest.mark.parametrize("status", [301, 408, 418, 429, 500, 502, 503, 504, 204])
def test_what_passes_is_tried_again(status):
    error = reaction(status)
    assert isinstance(error, ProvisioningUnreachable)
    assert error.retried
    assert str(status) in str(error)


@pytest.mark.parametrize("code", ProblemCode)
def test_every_code_of_the_server_is_named_in_one_line(code):
    error = reaction(STATUS[code], Problem(code=code.value))
    assert code in str(error)
    assert "\n" not in str(error)
    assert "https://a.example" in str(error)


def test_a_wait_that_is_asked_for_is_told():
    assert "30 s" in str(reaction(503, Problem(code="upstream-quota", retry_after=30)))


def test_of_what_a_server_says_only_the_code_is_repeated():
    error = reaction(401, Problem(code="signature-invalid", detail="call 555-1234\n", title="Win"))
    assert "555" not in str(error)
    assert "Win" not in str(error)
