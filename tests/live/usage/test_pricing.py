"""Every report is counted, at a price, until a cap is reached."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.live.messages import TokenCount, UsageReported
from appliance.live.usage.pricing import (
    CAP_TROUBLE,
    PRICES,
    Allowance,
    CapPeriod,
    Caps,
    Cost,
    Level,
    Price,
    Usage,
    allowance,
    price_of,
    restored,
)

TODAY = date(2026, 11, 20)
PRICE = Price(text_in=1.0, audio_in=3.0, text_out=5.0, audio_out=12.0)
REPORT = UsageReported(564, prompt=TokenCount(332, 165, 25), response=TokenCount(0, 42, 0), thoughts=136)
COST = 332 + 165 * 3 + 25 * 3 + 42 * 12 + 136 * 5


@pytest.mark.parametrize(
    ("report", "micros"),
    [
        (UsageReported(0), 0),
        (UsageReported(1, prompt=TokenCount(text=1)), 1),
        (UsageReported(1, prompt=TokenCount(audio=1)), 3),
        (UsageReported(1, prompt=TokenCount(other=1)), 3),
        (UsageReported(1, response=TokenCount(text=1)), 5),
        (UsageReported(1, response=TokenCount(audio=1)), 12),
        (UsageReported(1, response=TokenCount(other=1)), 12),
        (UsageReported(0, thoughts=1), 5),
        (REPORT, COST),
    ],
)
def test_each_kind_of_token_has_its_price(report, micros):
    assert PRICE.micros(report) == micros


def test_a_minute_each_way_costs_what_the_price_list_says():
    minute = UsageReported(3000, prompt=TokenCount(audio=25 * 60), response=TokenCount(audio=25 * 60))
    assert price_of("gemini-3.8-live").micros(minute) == 4_500 + 18_000


@pytest.mark.parametrize(("prefix", "price"), PRICES)
def test_every_model_of_the_list_has_its_price(prefix, price):
    assert price_of(f"models/{prefix}-preview-12-2025") is price


def test_an_unknown_model_is_as_dear_as_the_dearest():
    for field in ("text_in", "audio_in", "text_out", "audio_out"):
        assert getattr(price_of("gemini-9"), field) == max(getattr(price, field) for _, price in PRICES)


def test_a_report_counts_for_turn_session_day_and_month():
    once = Cost(332 + 165 + 25 + 42 + 136, COST)
    usage = Usage(TODAY).add(REPORT, PRICE, TODAY)
    assert usage == Usage(TODAY, once, once, once, once)
    twice = usage.add(REPORT, PRICE, TODAY)
    assert (twice.turn, twice.session, twice.today, twice.month) == (once, once + once, once + once, once + once)


def test_a_total_that_is_not_explained_counts_as_heard():
    assert Usage(TODAY).add(UsageReported(100), PRICE, TODAY).turn == Cost(100, 300)
    assert Usage(TODAY).add(UsageReported(100, prompt=TokenCount(text=90)), PRICE, TODAY).turn == Cost(100, 90 + 30)


def test_a_session_ends_and_the_day_goes_on():
    usage = Usage(TODAY).add(REPORT, PRICE, TODAY).new_session()
    assert usage.session == usage.turn == Cost()
    assert usage.today.micros == COST


@pytest.mark.parametrize(
    ("later", "today", "month"),
    [
        (TODAY, COST, COST),
        (TODAY + timedelta(days=1), 0, COST),
        (date(2026, 12, 1), 0, 0),
        (date(2027, 11, 20), 0, 0),
        (date(1970, 1, 1), COST, COST),
    ],
    ids=str,
)
def test_days_and_months_begin_anew_and_a_clock_that_is_not_set_changes_nothing(later, today, month):
    usage = Usage(TODAY).add(REPORT, PRICE, TODAY).on(later)
    assert (usage.today.micros, usage.month.micros) == (today, month)
    assert usage.session.micros == COST, "a talk at midnight is one talk"


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10**6)), max_size=20))
def test_money_adds_up_exactly(reports):
    usage, day, total = Usage(TODAY), TODAY, 0
    for days, tokens in reports:
        day += timedelta(days=days)
        usage = usage.add(UsageReported(tokens, prompt=TokenCount(audio=tokens)), PRICE, day)
        total += tokens * 3
        assert usage.turn.micros <= usage.today.micros <= usage.month.micros <= usage.session.micros == total


def test_day_and_month_survive_a_restart_and_the_session_does_not():
    usage = Usage(TODAY).add(REPORT, PRICE, TODAY)
    again = restored(json.loads(json.dumps(usage.stored())), TODAY)
    assert (again.today, again.month, again.session) == (usage.today, usage.month, Cost())
    assert restored(usage.stored(), TODAY + timedelta(days=1)).today == Cost()


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {},
        {"day": "soon", "today": [0, 0], "month": [0, 0]},
        {"day": "2026-11-20", "today": [0], "month": [0, 0]},
        {"day": "2026-11-20", "today": [0, 0], "month": ["a", 0]},
        {"day": "2026-11-20", "today": [-1, 0], "month": [0, 0]},
    ],
)
def test_what_makes_no_sense_counts_as_nothing(stored):
    assert restored(stored, TODAY) == Usage(TODAY)


def spent(session: float = 0.0, day: float = 0.0, month: float = 0.0) -> Usage:
    return Usage(
        TODAY,
        session=Cost(0, round(session * 1e6)),
        today=Cost(0, round(day * 1e6)),
        month=Cost(0, round(month * 1e6)),
    )


CAPS = Caps(session=1.0, day=2.0, month=30.0)


@pytest.mark.parametrize(
    ("usage", "level", "span"),
    [
        (spent(), Level.OK, None),
        (spent(0.79, 1.59, 23.9), Level.OK, None),
        (spent(session=0.8), Level.WARN, CapPeriod.SESSION),
        (spent(day=1.6), Level.WARN, CapPeriod.DAY),
        (spent(month=24.0), Level.WARN, CapPeriod.MONTH),
        (spent(session=1.0), Level.STOP, CapPeriod.SESSION),
        (spent(day=2.0), Level.STOP, CapPeriod.DAY),
        (spent(month=30.0), Level.STOP, CapPeriod.MONTH),
        (spent(session=1.0, month=24.0), Level.STOP, CapPeriod.SESSION),
        (spent(1.0, 2.0, 30.0), Level.STOP, CapPeriod.MONTH),
    ],
)
def test_the_worst_cap_decides(usage, level, span):
    assert allowance(usage, CAPS) == Allowance(level, span)


def test_without_caps_nothing_stops():
    assert allowance(spent(1e6, 1e6, 1e6), Caps()) == Allowance(Level.OK)


def test_a_cap_of_nothing_stops_everything():
    assert allowance(spent(), Caps(day=0.0)).level is Level.STOP


def test_the_household_is_told_of_every_cap():
    assert set(CAP_TROUBLE) == set(CapPeriod)
    assert Cost(0, 1_500_000).money == 1.5
