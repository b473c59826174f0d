"""The player: first look at once, motion only where there is motion, dark at the end."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

from appliance.core.events import Fault
from appliance.core.state import State
from appliance.indicator.patterns import look_at
from appliance.indicator.player import LOOK_S, Player
from appliance.indicator.ports import Look


class RecordingLight:
    def __init__(self) -> None:
        self.shown: list[tuple[float, Look]] = []

    def show(self, look: Look) -> None:
        self.shown.append((asyncio.get_running_loop().time(), look))

    async def run(self, on_ready: Callable[[], None]) -> None:
        raise AssertionError("the light belongs to the caller")


async def playing(scene: Callable[[Player, RecordingLight], Awaitable[None]]) -> RecordingLight:
    """Run a scene while the player runs."""
    light = RecordingLight()

    player = Player(light)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(player.run())
        await scene(player, light)
        task.cancel()
    return light


async def test_entering_a_state_shows_it_before_anything_else_happens():
    light = RecordingLight()
    player = Player(light)
    player.enter(State.CONNECTING)
    assert [look for _, look in light.shown] == [look_at(State.CONNECTING, 0)]


async def test_a_moving_pattern_is_shown_25_times_a_second_and_follows_its_table():
    async def scene(player: Player, light: RecordingLight) -> None:
        await asyncio.sleep(0.1)
        player.enter(State.THINKING)
        light.shown.clear()
        await asyncio.sleep(2.0)

    shown = (await playing(scene)).shown[:-1]
    assert 48 <= len(shown) <= 52
    began = 1000.1
    for at, look in shown:
        expected = look_at(State.THINKING, at - began)
        assert abs(look.green - expected.green) < 1e-6


async def test_a_steady_light_sleeps_for_ever():
    async def scene(player: Player, light: RecordingLight) -> None:
        player.enter(State.LISTENING)
        await asyncio.sleep(LOOK_S * 2)
        light.shown.clear()
        await asyncio.sleep(86_400)
        assert light.shown == []

    await playing(scene)


async def test_a_steady_light_begins_to_move_when_the_state_changes():
    async def scene(player: Player, light: RecordingLight) -> None:
        player.enter(State.IDLE)
        await asyncio.sleep(10)
        player.enter(State.FAULT, Fault.SPEAKER)
        light.shown.clear()
        await asyncio.sleep(4.0)

    shown = (await playing(scene)).shown[:-1]
    bright = [look.red > 0.5 for _, look in shown]
    assert sum(after and not before for before, after in pairwise(bright)) in {1, 2}
    assert len(shown) >= 95


async def test_the_light_is_off_when_the_player_has_stopped():
    async def scene(player: Player, light: RecordingLight) -> None:
        player.enter(State.LISTENING)
        await asyncio.sleep(1)

    assert (await playing(scene)).shown[-1][1] == look_at(State.STOPPED, 0)
