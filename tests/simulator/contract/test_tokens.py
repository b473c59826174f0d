from datetime import UTC, datetime, timedelta

import pytest

from appliance.simulator.contract.messages import ContractError
from appliance.simulator.contract.tokens import TokenStore
from appliance.units import Seconds

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
START = 500.0
"""The monotonic clock at noon."""


def minted(**request: object):
    tokens = TokenStore(lambda: START, lambda: NOON)
    return tokens.find(tokens.mint(request))


def at(seconds: float) -> Seconds:
    return Seconds(START + seconds)


def test_without_times_a_token_begins_for_a_minute_and_lasts_for_half_an_hour():
    token = minted(uses=0)
    token.begin_session(at(59), resumed=False)
    with pytest.raises(ContractError, match="new session"):
        token.begin_session(at(60), resumed=False)
    token.begin_session(at(1799), resumed=True)
    token.check(at(1799))
    with pytest.raises(ContractError, match="expired"):
        token.begin_session(at(1800), resumed=True)
    with pytest.raises(ContractError, match="expired"):
        token.check(at(1800))


def test_times_of_day_count_as_durations_from_now():
    token = minted(expireTime="2026-11-21T12:00:30Z", newSessionExpireTime="2026-11-21T13:00:10+01:00")
    token.begin_session(at(9), resumed=False)
    with pytest.raises(ContractError):
        token.check(at(30))


def test_resuming_is_no_use():
    token = minted(uses=2)
    for resumed in (False, True, False, True):
        token.begin_session(at(1), resumed=resumed)
    with pytest.raises(ContractError, match="too many times"):
        token.begin_session(at(1), resumed=False)


@pytest.mark.parametrize("lead", [timedelta(), timedelta(seconds=-1), timedelta(hours=20)])
@pytest.mark.parametrize("name", ["expireTime", "newSessionExpireTime"])
def test_a_time_must_lie_ahead_by_less_than_20_hours(name: str, lead: timedelta):
    with pytest.raises(ContractError, match=name):
        minted(**{name: (NOON + lead).isoformat()})


@pytest.mark.parametrize("value", ["2026-11-21T12:30:00", "noon", None, 7])
def test_a_time_is_rfc_3339_with_an_offset(value: object):
    with pytest.raises(ContractError, match="expireTime"):
        minted(expireTime=value)


def test_every_token_has_a_name_of_its_own_and_an_unknown_name_is_refused():
    tokens = TokenStore(lambda: START, lambda: NOON)
    assert tokens.mint({}) != tokens.mint({})
    with pytest.raises(ContractError, match="credentials"):
        tokens.find("auth_tokens/made-up")
