"""Random scenarios, made of all faults: for a fuzzer."""

import json
from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Any, Final

from appliance.simulator.scenario.connection_faults import ConnectionFault
from appliance.simulator.scenario.registry import FAULTS

_MAX_STEPS: Final = 6
_STORM_SHARE: Final = 0.1
"""The fraction of scenarios whose model calls a tool after each result."""
_LONGEST_STORM: Final = 40
_MAX_DELAY_S: Final = 30.0
_PAYLOADS: Final = (
    "",
    "{}",
    "[]",
    "not JSON",
    '{"somethingNew": {"at": 1}}',
    '{"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}',
    '{"code": 503, "message": "The service is currently unavailable."}',
    '{"serverContent": {"somethingNew": 1}}',
    '{"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "!"}}]}}}',
    '{"serverContent": {"turnComplete": true, "interrupted": true, "generationComplete": true}}',
    '{"serverContent": {"generationComplete": true}}',
    '{"toolCall": {"functionCalls": [{"name": "get_time"}]}}',
    '{"toolCall": {"functionCalls": [{"id": "1", "name": "no_such_tool", "args": {}}]}}',
    '{"toolCallCancellation": {"ids": ["unheard-of"]}}',
    '{"goAway": {}}',
    '{"sessionResumptionUpdate": {}}',
    '{"setupComplete": {}}',
    json.dumps(
        {"toolCall": {"functionCalls": [{"id": f"at-once-{number}", "name": "get_time"} for number in range(99)]}}
    ),
)

Keys = Mapping[str, object]


def _none(_: Random) -> Keys:
    return {}


def _delay(random: Random) -> Keys:
    return {"by_s": random.uniform(0.0, _MAX_DELAY_S)}


def _calls(random: Random) -> Keys:
    names = random.choices(("get_time", "set_volume", "no_such_tool"), k=random.randint(1, 4))
    return {"calls": [{"name": name} for name in names]}


_KEYS: Final[Mapping[str, Callable[[Random], Keys]]] = MappingProxyType(
    {
        "refuse": lambda random: {"status": random.choice((400, 401, 403, 404, 429, 500, 503))},
        "hold_setup": lambda random: random.choice(({}, {"for_s": random.uniform(0.0, _MAX_DELAY_S)})),
        "close": lambda random: {"code": random.choice((1000, 1001, 1007, 1008, 1011, 1013, 4000))},
        "go_away": lambda random: {"time_left_s": random.uniform(0.0, 60.0)},
        "hear_nothing": lambda random: {"for_s": random.uniform(0.0, _MAX_DELAY_S)},
        "slow_pongs": _delay,
        "slow_close": _delay,
        "send": lambda random: {"payload": random.choice(_PAYLOADS)},
        "send_large": lambda random: {"size_bytes": random.choice((1 << 10, 1 << 18, 1 << 20))},
        "cut_short": lambda random: {"audio_ms": random.randint(1, 5000)},
        "think": lambda random: {"for_s": random.uniform(0.0, _MAX_DELAY_S)},
        "pace": lambda random: {"speed": random.choice((0.3, 0.9, 1.0, 50.0))},
        "burst": lambda random: {"audio_ms": random.randint(80, 5000)},
        "call_tools": _calls,
        "fill": lambda random: {"audio_ms": random.randint(80, 2000), "for_s": random.uniform(0.0, _MAX_DELAY_S)},
        "end_with_reason": lambda random: {
            "reason": random.choice(("MALFORMED_FUNCTION_CALL", "RESPONSE_REJECTED", "BLOCKLIST", "NEED_MORE_INPUT"))
        },
    }
)
"""Random values for the keys of a fault that has any."""


def random_steps(seed: int) -> list[dict[str, Any]]:
    """Return the steps of a scenario in the form that a file has: the same for the same seed."""
    random = Random(seed)  # noqa: S311  nothing here is secret
    steps = [_step(random) for _ in range(random.randint(1, _MAX_STEPS))]
    return [*steps, *_storm(random)] if random.random() < _STORM_SHARE else steps


def _storm(random: Random) -> list[dict[str, Any]]:
    """Return the steps of a model that never speaks and calls a tool after each result, sometimes with the same id."""
    pause_s, again = random.uniform(0.0, 3.0), random.random() < 0.2
    steps: list[dict[str, Any]] = [{"on": "turn:1", "do": "no_reply"}]
    for number in range(random.randint(2, _LONGEST_STORM)):
        call = {"id": "storm" if again else f"storm-{number}", "name": "get_time", "args": {}}
        on = f"tool_result:{number}" if number else "turn:1"
        payload = json.dumps({"toolCall": {"functionCalls": [call]}})
        steps.append({"on": on, "do": "send", "payload": payload, "after_s": pause_s})
    return steps


def _step(random: Random) -> dict[str, Any]:
    name = random.choice(sorted(FAULTS))
    kind = FAULTS[name]
    on = str(random.choice(sorted(kind.points)))
    step = {"on": random.choice((on, f"{on}:1", f"{on}:2")), "do": name, **_KEYS.get(name, _none)(random)}
    step["connections"] = random.choice(("first", "all", [2], [1, 3]))
    if issubclass(kind, ConnectionFault) and random.random() < 0.5:
        step["after_s"] = random.uniform(0.0, _MAX_DELAY_S)
    return step
