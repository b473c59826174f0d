"""Shared helpers of the tests of the in-memory service."""

from typing import Any

from appliance.simulator.in_memory_server import (
    ConnectionEndedError,
    SimulatedService,
    SimulatedSession,
)
from appliance.simulator.model.replies import Reply, ToolStep
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.scenario.file import load
from tests.support.simulator import said
from tests.support.websocket import content, setup

Message = dict[str, Any]
SETUP: Message = setup()["setup"]
PRESSED: Message = {**SETUP, "realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}
START: Message = {"realtimeInput": {"activityStart": {}}}
END: Message = {"realtimeInput": {"activityEnd": {}}}
TEXT = {"realtimeInput": {"text": "hello"}}
LONG = Reply(said(4.0), text="a long story", question="tell me a story")
YES = said(0.2)
SHORT = Reply(YES, text="yes", question="is it")
NOON = said(0.2, seed=6)
TOOLED = Reply(NOON, text="noon", question="what time", tool=ToolStep("get_time"))


def service(*replies: Reply, scenario: str | None = None, **options: Any) -> SimulatedService:
    scenarios = (load(scenario),) if scenario else ()
    return SimulatedService(SimulatorOptions(replies=replies or (SHORT,), scenarios=scenarios, **options))


async def until(session: SimulatedSession, name: str) -> list[Message]:
    messages = [await session.receive()]
    while name not in messages[-1] and name not in content(messages[-1]):
        messages.append(await session.receive())
    return messages


async def ending(session: SimulatedSession) -> tuple[int, str]:
    try:
        while True:
            await session.receive_raw()
    except ConnectionEndedError as error:
        return error.code, error.reason


async def calls_of(session: SimulatedSession) -> list[Message]:
    message = (await until(session, "toolCall"))[-1]
    called: list[Message] = message["toolCall"]["functionCalls"]
    return called
