"""Whether replies count as free of echo, and what the journal is told of it."""

import asyncio
from dataclasses import replace

import pytest

from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.monitor import LOG_PAUSE_S, NO_ECHO_S, EchoMonitor
from appliance.audio.echo.status import EchoStatus
from appliance.units import Seconds

COLD = EchoStatus()
FOUND = EchoStatus(CancellerState.COLD, 2.0, Seconds(0.1), 12.0)
CONVERGED = EchoStatus(CancellerState.CONVERGED, 25.0, Seconds(0.1), 12.0)
BROKEN = replace(CONVERGED, state=CancellerState.BROKEN)


class Told:
    """Reports of a monitor that is given one status after another."""

    def __init__(self, aec: Aec = Aec.WEBRTC) -> None:
        self.changes: list[bool] = []
        self.monitor = EchoMonitor(aec, self.changes.append)

    def check(self, *statuses: EchoStatus | None) -> list[bool]:
        for status in statuses:
            self.monitor.check(status)
        return self.changes


async def test_replies_are_free_of_echo_while_the_canceller_has_converged():
    assert Told().check(COLD, FOUND, CONVERGED, CONVERGED, BROKEN, CONVERGED, None) == [False, True, False, True, False]


@pytest.mark.parametrize(("aec", "cancelled"), [(Aec.OFF, True), (Aec.HALF_DUPLEX, False)])
async def test_without_a_canceller_the_mode_decides(aec: Aec, cancelled: bool):
    assert Told(aec).check(None, None) == [cancelled]


async def test_a_headset_has_no_echo_to_find():
    told = Told()
    told.check(COLD)
    told.monitor.played(Seconds(NO_ECHO_S - 0.1))
    assert told.check(COLD) == [False]
    told.monitor.played(Seconds(0.2))
    assert told.check(COLD) == [False, True]
    assert told.check(FOUND, CONVERGED) == [False, True, False, True]  # the headset was put down beside the speaker


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    return [record.fields for record in caplog.records if getattr(record, "event", "") == "echo.changed"]  # type: ignore[attr-defined]


@pytest.fixture
def journal(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "appliance")
    return caplog


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"state": CancellerState.BROKEN}, 2),
        ({"delay_s": 0.109, "ppm": 31.0, "erle_db": 3.0}, 1),
        ({"delay_s": 0.111}, 2),
        ({"delay_s": None}, 2),
        ({"ppm": -9.0}, 2),
    ],
)
async def test_the_journal_is_told_of_large_changes(journal, change, expected):
    told = Told()
    told.check(CONVERGED)
    await asyncio.sleep(LOG_PAUSE_S)
    told.check(replace(CONVERGED, **change), replace(CONVERGED, **change))
    assert len(lines(journal)) == expected
    assert lines(journal)[0] == {"state": "converged", "erle_db": "25.0", "delay_ms": "100.0", "ppm": "12.0"}


async def test_changes_back_and_forth_do_not_flood_the_journal(journal):
    told = Told()
    for _ in range(100):
        await asyncio.sleep(0.1)
        told.check(CONVERGED, BROKEN)
    assert len(lines(journal)) <= 2
    await asyncio.sleep(LOG_PAUSE_S)
    told.check(BROKEN)
    assert lines(journal)[-1]["state"] == "broken"


async def test_the_echo_is_later_than_what_is_known_or_of_an_unknown_delay():
    monitor = EchoMonitor(Aec.WEBRTC, lambda _: None)
    assert monitor.later_than(Seconds(0.0)) is None
    monitor.check(COLD)
    assert monitor.later_than(Seconds(0.0)) is None
    monitor.check(FOUND)
    assert monitor.later_than(Seconds(0.08)) == pytest.approx(0.02)
    assert monitor.later_than(Seconds(0.5)) == Seconds(0.0)
    monitor.check(None)
    assert monitor.later_than(Seconds(0.0)) is None
