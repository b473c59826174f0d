"""The toolbox: concurrent calls by id, cancelled or kept until taken."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.live.messages import ToolCall
from appliance.live.ports import ToolResult
from appliance.tools.registry import answer
from appliance.tools.runner import BOUND, ToolRunner


class Sleeper:
    """A caller whose calls take as many seconds as their argument says."""

    async def call(self, call: ToolCall) -> ToolResult:
        await asyncio.sleep(call.arguments["seconds"])
        return answer(call, status="ok")


@asynccontextmanager
async def working() -> AsyncIterator[tuple[ToolRunner, list[tuple[float, str]]]]:
    """Run a toolbox; with it comes the list of (second, id) of calls that it reports as done."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    done: list[tuple[float, str]] = []

    def note(call: str) -> None:
        done.append((round(loop.time() - began, 6), call))

    toolbox = ToolRunner(Sleeper(), note, lambda call: note(f"{call} is slow"), slow_s=10)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(toolbox.run())
        await asyncio.sleep(0)
        yield toolbox, done
        task.cancel()


def offer(toolbox: ToolRunner, **seconds: float) -> None:
    for call, duration in seconds.items():
        toolbox.offer(ToolCall(call, "sleep", {"seconds": duration}))


async def test_calls_run_at_the_same_time_and_results_wait_to_be_taken():
    async with working() as (toolbox, done):
        offer(toolbox, a=2, b=1)
        toolbox.start(("a", "b"))
        await asyncio.sleep(5)
        assert done == [(1, "b"), (2, "a")]
        assert toolbox.take("a") == ToolResult("a", "sleep", {"status": "ok"})
        assert toolbox.take("a").response["status"] == "error", "taken once"


async def test_a_refused_call_does_not_run_and_ends_with_an_error():
    async with working() as (toolbox, done):
        offer(toolbox, a=2)
        toolbox.refuse(("a",))
        assert not done, "the conversation is told later"
        await asyncio.sleep(1)
        assert done == [(0, "a")]
        result = toolbox.take("a")
        assert (result.name, result.response["status"]) == ("sleep", "error")


async def test_a_call_that_was_answered_gets_the_same_answer_again_in_the_same_session_only():
    async with working() as (toolbox, done):
        offer(toolbox, a=2)
        toolbox.start(("a",))
        await asyncio.sleep(3)
        first = toolbox.take("a")
        offer(toolbox, a=2)
        toolbox.start(("a",))
        await asyncio.sleep(1)
        assert done == [(2, "a"), (3, "a")]
        assert toolbox.take("a") is first
        toolbox.forget()
        offer(toolbox, a=2)
        toolbox.start(("a",))
        await asyncio.sleep(3)
        assert done[-1] == (6, "a")


async def test_a_call_that_takes_long_is_told_again_and_again_until_it_ends():
    async with working() as (toolbox, done):
        offer(toolbox, a=25, b=60)
        toolbox.start(("a", "b"))
        await asyncio.sleep(12)
        toolbox.cancel(("b",))
        await asyncio.sleep(60)
        assert done == [(10, "a is slow"), (10, "b is slow"), (20, "a is slow"), (25, "a")]


async def test_every_call_is_logged_with_how_it_ended_and_how_long_it_took(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "appliance")
    async with working() as (toolbox, _):
        offer(toolbox, a=2, b=60)
        toolbox.start(("a", "b", "c"))
        await asyncio.sleep(3)
        toolbox.cancel(("b",))
        await asyncio.sleep(1)
    assert [record.getMessage() for record in caplog.records] == [
        "tool.ended status=error ms=0",
        "tool.ended tool=sleep status=ok ms=2000",
        "tool.ended tool=sleep status=cancelled ms=3000",
    ]


async def test_an_offered_call_does_not_run_until_it_is_started():
    async with working() as (toolbox, done):
        offer(toolbox, a=0)
        await asyncio.sleep(5)
        assert done == []


async def test_a_cancelled_call_is_never_reported():
    async with working() as (toolbox, done):
        offer(toolbox, offered=1, running=1, ended=0)
        toolbox.start(("running", "ended"))
        await asyncio.sleep(0.5)
        toolbox.cancel(("offered", "running", "ended", "never heard of"))
        await asyncio.sleep(5)
        assert done == [(0, "ended")]
        assert toolbox.take("ended").response["status"] == "error"


async def test_a_call_that_was_never_offered_ends_with_an_error():
    async with working() as (toolbox, done):
        toolbox.start(("ghost",))
        await asyncio.sleep(1)
        assert done == [(0, "ghost")]
        response = toolbox.take("ghost").response
        assert response == {"status": "error", "retryable": True, "message": "the call was lost"}


async def test_a_call_whose_id_comes_again_is_reported_once_each_time():
    async with working() as (toolbox, done):
        offer(toolbox, a=2)
        toolbox.start(("a",))
        await asyncio.sleep(1)
        offer(toolbox, a=3)
        toolbox.start(("a",))
        await asyncio.sleep(10)
        assert done == [(4, "a")], "the second call has taken the place of the first"


async def test_offers_beyond_the_bound_push_the_oldest_out():
    async with working() as (toolbox, _):
        calls = [f"call-{index}" for index in range(BOUND + 3)]
        offer(toolbox, **dict.fromkeys(calls, 0.0))
        toolbox.start((calls[0], calls[-1]))
        await asyncio.sleep(1)
        assert toolbox.take(calls[0]).response["status"] == "error"
        assert toolbox.take(calls[-1]).response["status"] == "ok"


async def test_a_tool_that_ends_the_conversation_may_cancel_its_own_call():
    ended: list[str] = []
    done: list[str] = []

    class Ender:
        async def call(self, call: ToolCall) -> ToolResult:
            toolbox.cancel((call.id,))
            await asyncio.sleep(1)
            ended.append(call.id)
            return answer(call, status="ok")

    toolbox = ToolRunner(Ender(), done.append, done.append, slow_s=10)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(toolbox.run())
        await asyncio.sleep(0)
        offer(toolbox, bye=0)
        toolbox.start(("bye",))
        await asyncio.sleep(2)
        task.cancel()
    assert (ended, done) == (["bye"], [])


async def test_stopping_the_toolbox_stops_its_calls():
    async with working() as (toolbox, _):
        offer(toolbox, a=100)
        toolbox.start(("a",))
        await asyncio.sleep(1)


def test_a_toolbox_that_does_not_run_says_so():
    with pytest.raises(RuntimeError, match="is not running"):
        ToolRunner(Sleeper(), print, print, slow_s=10).start(("a",))
