"""The built-in tools, called as the model calls them."""

from datetime import datetime, timedelta, timezone

from appliance.config.schema import ToolSettings
from appliance.live.messages import ToolCall
from appliance.tools.builtin import BUILT_IN, builtin
from appliance.tools.registry import Registry
from tests.clock import run_virtual

MOMENT = datetime(2026, 2, 3, 21, 4, 5, tzinfo=timezone(timedelta(hours=1), "CET"))


class World:
    def __init__(self) -> None:
        self.ended = 0
        self.gains: list[float] = []
        self.forgotten = 0

    def end(self) -> None:
        self.ended += 1

    def forget(self) -> None:
        self.forgotten += 1

    def call(self, name: str, **arguments: object) -> dict[str, object]:
        functions = builtin(lambda: MOMENT, self.end, self.gains.append, self.forget)
        registry = Registry(functions, ToolSettings(enabled=tuple(function.__name__ for function in functions)))
        return dict(run_virtual(lambda: registry.call(ToolCall("id-1", name, arguments))).response)


def test_the_time_is_local_with_its_zone():
    assert World().call("get_time") == {
        "status": "ok",
        "date": "2026-02-03",
        "weekday": "Tuesday",
        "time": "21:04:05",
        "zone": "CET (UTC+0100)",
    }


def test_end_conversation_asks_for_the_end():
    world = World()
    assert world.call("end_conversation") == {"status": "ok"}
    assert world.ended == 1


def test_set_volume_takes_percent():
    world = World()
    assert world.call("set_volume", percent=35) == {"status": "ok", "percent": 35}
    assert world.call("set_volume", percent=101)["status"] == "error"
    assert world.gains == [0.35]


def test_a_conversation_can_be_forgotten():
    world = World()
    assert world.call("forget_conversation") == {"status": "ok"}
    assert world.forgotten == 1


def test_the_default_settings_enable_tools_that_exist():
    functions = builtin(lambda: MOMENT, lambda: None, lambda gain: None, lambda: None)
    assert Registry(functions, ToolSettings()).declarations


def test_the_names_are_those_of_the_functions():
    made = builtin(lambda: MOMENT, lambda: None, lambda _: None, lambda: None)
    assert tuple(function.__name__ for function in made) == BUILT_IN
