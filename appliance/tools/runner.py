"""Runs the tool calls that the conversation starts, each in a task, and keeps their results."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from appliance import log
from appliance.live.messages import ToolCall
from appliance.live.ports import ToolResult
from appliance.tools.registry import answer

BOUND: Final = 32
"""The most calls waiting to be started, results waiting to be taken, and results remembered; the oldest is dropped
first."""

TOO_MANY: Final = "too many tool calls for one question: answer now with what you know"

T = TypeVar("T")


class Caller(Protocol):
    """Runs one call: `registry.Registry`."""

    async def call(self, call: ToolCall) -> ToolResult:
        """Run the call; failures are results."""


class ToolRunner:
    """Tool calls by id: offered by the session, started or cancelled by the conversation. Loop thread only."""

    def __init__(
        self, caller: Caller, on_done: Callable[[str], None], on_slow: Callable[[str], None], slow_s: float
    ) -> None:
        """Report the id of every started call to ``on_done`` when it has ended, unless it was cancelled.

        Until then, report it to ``on_slow`` every ``slow_s`` seconds.
        """
        self._caller = caller
        self._on_done = on_done
        self._on_slow = on_slow
        self._slow_s = slow_s
        self._offered: dict[str, ToolCall] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._results: dict[str, ToolResult] = {}
        self._taken: dict[str, ToolResult] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Own the tasks of the calls until cancelled; must have begun before `start`."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None

    def offer(self, call: ToolCall) -> None:
        """Remember a call of the model until the conversation starts it."""
        self._keep(self._offered, call.id, call)

    def start(self, calls: tuple[str, ...]) -> None:
        """Run these calls concurrently; an unknown one ends at once with an error for the model.

        A call whose result was taken does not run again: until `forget`, it ends at once with the same result.
        """
        if self._group is None:
            raise RuntimeError("the tool runner is not running")
        for call_id in calls:
            call = self._offered.pop(call_id, None)
            known = self._taken.get(call_id)
            work = self._call(call_id, call, self._group) if known is None else self._repeat(known)
            self._running[call_id] = self._group.create_task(work)

    def refuse(self, calls: tuple[str, ...]) -> None:
        """Run none of these calls; each ends at once with an error for the model."""
        if self._group is None:
            raise RuntimeError("the tool runner is not running")
        for call_id in calls:
            call = self._offered.pop(call_id, None) or ToolCall(call_id, "unknown", {})
            self._running[call_id] = self._group.create_task(self._refuse(call))

    def cancel(self, calls: tuple[str, ...]) -> None:
        """Drop these calls, waiting, running or ended; none of them is reported any more."""
        for call_id in calls:
            self._offered.pop(call_id, None)
            self._results.pop(call_id, None)
            task = self._running.pop(call_id, None)
            # A tool may end the conversation, and with it its own call, which then runs to its end unreported.
            if task is not None and task is not asyncio.current_task():
                task.cancel()

    def take(self, call: str) -> ToolResult:
        """Return the result of an ended call, once; an error for the model if there is none."""
        result = self._results.pop(call, None)
        if result is None:
            return _lost(call)
        self._taken[call] = result
        if len(self._taken) > BOUND:
            del self._taken[next(iter(self._taken))]
        return result

    def forget(self) -> None:
        """Forget the results that were taken: another session's calls may have the same ids."""
        self._taken.clear()

    async def _call(self, call_id: str, call: ToolCall | None, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        began, result = loop.time(), None
        ticking = group.create_task(self._tick(call_id))
        try:
            result = _lost(call_id) if call is None else await self._caller.call(call)
        finally:
            ticking.cancel()
            took_ms = round((loop.time() - began) * 1000)
            log.event("tool.ended", tool=call and call.name, status=_status(result), ms=took_ms)
        self._end(call_id, result)

    async def _repeat(self, result: ToolResult) -> None:
        log.event("tool.repeated", tool=result.name)
        self._end(result.call, result)

    async def _refuse(self, call: ToolCall) -> None:
        log.event("tool.refused", level="warning", tool=call.name)
        self._end(call.id, answer(call, status="error", retryable=False, message=TOO_MANY))

    def _end(self, call_id: str, result: ToolResult) -> None:
        """Report a call that has ended, unless it was cancelled; within its own task."""
        if self._running.get(call_id) is asyncio.current_task():
            del self._running[call_id]
            self._keep(self._results, call_id, result)
            self._on_done(call_id)

    async def _tick(self, call_id: str) -> None:
        while True:
            await asyncio.sleep(self._slow_s)
            self._on_slow(call_id)

    def _keep(self, where: dict[str, T], call_id: str, item: T) -> None:
        where[call_id] = item
        if len(where) > BOUND:
            del where[next(iter(where))]
            log.event("tool.dropped", level="warning", bound=BOUND)


def _status(result: ToolResult | None) -> str:
    """Return how a call ended, for the log. Any other value that a tool gives its status is for the model."""
    if result is None:
        return "cancelled"
    said = result.response.get("status")
    return said if said in ("error", "timeout") else "ok"


def _lost(call_id: str) -> ToolResult:
    return answer(ToolCall(call_id, "unknown", {}), status="error", retryable=True, message="the call was lost")
