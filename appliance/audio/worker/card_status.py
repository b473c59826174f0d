"""Last known status of a card of the audio worker, for whoever waits until it runs or fails. Loop thread."""

import asyncio
from typing import Final

from appliance.audio.cards.devices import Direction
from appliance.audio.worker.messages import Opened

CARD_TIMEOUT_S: Final = 2.0
"""A card that has run, and is neither opened nor refused for this long, has failed."""
FIRST_CARD_TIMEOUT_S: Final = 8.0
"""The same for one that has not run yet: the first worker may be slow to start."""


class CardStatus:
    """Status of one direction's card."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._changed = asyncio.Event()
        self._is_fault_raised = False
        self._timeout_s = FIRST_CARD_TIMEOUT_S
        self.running: Opened | None = None
        self.refusal: str | None = None

    def open(self, opened: Opened) -> None:
        """Note that it runs."""
        self.running, self.refusal, self._is_fault_raised = opened, None, False
        self._timeout_s = CARD_TIMEOUT_S
        self._changed.set()

    def refuse(self, text: str) -> None:
        """Note that it cannot be opened now."""
        self.running, self.refusal = None, text
        self._changed.set()

    def lose(self) -> None:
        """Note that it has stopped; another worker may open it again."""
        self.running, self.refusal = None, None
        self._changed.set()

    async def opened(self) -> Opened:
        """Wait until it runs; raise the direction's error where it cannot."""
        while self.running is None:
            self._changed.clear()
            if self.refusal is not None:
                self._fail(self.refusal)
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                self._fail(self._timeout_text())
        return self.running

    async def failed(self) -> None:
        """Wait while the card runs, or comes back soon; raise the direction's error once each time that it fails.

        Called again after that, it waits for the card's return and for the next failure.
        """
        while True:
            self._changed.clear()
            unknown = self.running is None and self.refusal is None
            if self.refusal is not None and not self._is_fault_raised:
                self._fail(self.refusal)
            try:
                async with asyncio.timeout(self._timeout_s if unknown and not self._is_fault_raised else None):
                    await self._changed.wait()
            except TimeoutError:
                self._fail(self._timeout_text())

    def _timeout_text(self) -> str:
        return f"the {self._direction.noun} has not started: see the journal"

    def _fail(self, text: str) -> None:
        self._is_fault_raised = True
        raise self._direction.error(text)
