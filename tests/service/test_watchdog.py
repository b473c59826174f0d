"""The watchdog: fed while all is well, in virtual time."""

import asyncio
import logging
from itertools import pairwise

from appliance.service.notify import NoManager
from appliance.service.watchdog import Freshness, Watchdog
from appliance.units import Seconds


class RecordingManager(NoManager):
    def __init__(self, watchdog_s: float | None) -> None:
        self.watchdog_s = watchdog_s
        self.fed: list[float] = []

    def watchdog(self) -> None:
        self.fed.append(asyncio.get_running_loop().time() - 1000)


class Pulse:
    """A vital that is switched by hand."""

    name = "capture"

    def __init__(self) -> None:
        self.well = True

    def healthy(self, now: Seconds) -> bool:
        return self.well


async def watched(manager: RecordingManager, pulse: Pulse, switches: list[tuple[float, bool]]) -> list[float]:
    """Run for two minutes, switching the pulse at these seconds."""

    loop = asyncio.get_running_loop()
    for at, well in switches:
        loop.call_at(1000 + at, setattr, pulse, "well", well)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Watchdog(manager, [Pulse(), pulse]).run())
        await asyncio.sleep(120)
        task.cancel()
    return manager.fed


async def test_it_is_fed_twice_in_its_time():
    assert (await watched(RecordingManager(20), Pulse(), []))[:5] == [0, 10, 20, 30, 40]


async def test_it_is_not_fed_while_one_vital_is_ill_and_that_is_logged_once(caplog):
    caplog.set_level(logging.INFO)
    fed = await watched(RecordingManager(20), Pulse(), [(25, False)])
    assert fed == [0, 10, 20]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "capture" in caplog.text


async def test_a_vital_that_recovers_in_time_saves_the_daemon(caplog):
    caplog.set_level(logging.INFO)
    fed = await watched(RecordingManager(20), Pulse(), [(29, False), (36, True)])
    gaps = [after - before for before, after in pairwise(fed)]
    assert max(gaps) < 20
    assert fed[-1] > 100
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


async def test_without_a_watchdog_there_is_nothing_to_do():
    manager = RecordingManager(None)
    await Watchdog(manager, [Pulse()]).run()
    assert manager.fed == []


def test_an_age_is_healthy_while_recent_or_not_due():
    last: list[Seconds | None] = [None]
    age = Freshness("capture", lambda: last[0], 2.0)
    assert age.healthy(Seconds(1e9)), "nothing is due before the first time"
    last[0] = Seconds(1000.0)
    assert age.healthy(Seconds(1002.0))
    assert not age.healthy(Seconds(1002.1))
