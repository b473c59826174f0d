"""Messages to the service besides audio: they wait for a link, and outlive the loss of one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from appliance import log
from appliance.core.events import Continuity
from appliance.errors import LinkError
from appliance.live.ports import HistorySeed, Link, ToolResult

BOUND: Final = 32
"""Most tool results that wait, and most texts; the oldest is dropped first."""


class PendingMessages:
    """Sends through the open link, each message in its own task; loop thread only."""

    def __init__(self, tasks: asyncio.TaskGroup, on_answered: Callable[[str], None]) -> None:
        """``on_answered`` takes the id of each tool call whose result was sent or dropped."""
        self.results_dropped = 0
        """Tool results that no service wanted any more, or that others pushed out."""
        self.texts_dropped = 0
        """Texts that were never sent, or that others pushed out."""
        self._tasks = tasks
        self._on_answered = on_answered
        self._link: Link | None = None
        self._results: deque[ToolResult] = deque()
        self._texts: deque[str] = deque()

    def opened(self, link: Link, continuity: Continuity) -> None:
        """Send what waits, and what comes, through this link; results only to the session that has asked for them."""
        self._link = link
        if continuity is Continuity.PARTIAL:
            self._drop_results()
        while self._results:
            self.answer(self._results.popleft())
        while self._texts:
            self.send_text(self._texts.popleft())

    def closed(self) -> None:
        """The link is gone: from now on things wait."""
        self._link = None

    def forget(self) -> None:
        """The conversation is over."""
        self._drop_results()
        self.texts_dropped += len(self._texts)
        self._texts.clear()

    def answer(self, result: ToolResult) -> None:
        """Answer a tool call."""
        link = self._link
        if link is not None:
            self._on_answered(result.call)
            self._spawn(link.send_tool_result(result), lambda: self._dropped(result))
            return
        self._results.append(result)
        if len(self._results) > BOUND:
            self._dropped(self._results.popleft())

    def send_text(self, text: str) -> None:
        """Say something as a turn of the person."""
        link = self._link
        if link is not None:
            self._spawn(link.send_text(text), lambda: None)  # lost with its link, and repeated by whoever asked
            return
        self._texts.append(text)
        if len(self._texts) > BOUND:
            self._texts.popleft()
            self.texts_dropped += 1

    def add_history(self, seed: HistorySeed) -> None:
        """Tell the model something that it is not to answer; without a link, or where it is lost, it is dropped."""
        if self._link is not None:
            self._spawn(self._link.send_seed(seed), lambda: None)

    def _drop_results(self) -> None:
        while self._results:
            self._dropped(self._results.popleft())

    def _dropped(self, result: ToolResult) -> None:
        self.results_dropped += 1
        self._on_answered(result.call)
        log.event("tool.result-dropped", level="warning", tool=result.name)

    def _spawn(self, sending: Awaitable[None], failed: Callable[[], None]) -> None:
        async def send() -> None:
            try:
                await sending
            except LinkError:
                failed()  # the receiver reports the loss of the link

        self._tasks.create_task(send())
