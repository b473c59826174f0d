"""Adds up the cost of conversations as they go on, and keeps the sums across restarts."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Final

from appliance import log
from appliance.core.events import Trouble
from appliance.live.messages import UsageReported
from appliance.live.ports import Store
from appliance.live.usage.pricing import CAP_TROUBLE, CURRENCY, Caps, Level, allowance, price_of, restored

SETTLE_S: Final = 2.0
"""Wait after a change, so that several reports are written at once."""


class UsageRecorder:
    """Today's and this month's sums; `run` saves them."""

    def __init__(self, caps: Caps, store: Store, today: Callable[[], date]) -> None:
        self._caps = caps
        self._store = store
        self._today = today
        self._usage = restored(store.load(), today())
        self._warned: Level = Level.OK
        self._changed = asyncio.Event()

    def begin_conversation(self) -> None:
        """Reset the conversation's cost and warning."""
        self._usage = self._usage.on(self._today()).new_session()
        self._warned = Level.OK

    def count(self, report: UsageReported, model: str) -> None:
        """Add and log a usage report."""
        self._usage = self._usage.add(report, price_of(model), self._today())
        usage = self._usage
        log.event(
            "usage.turn",
            model=model,
            tokens=usage.turn.tokens,
            cost=_money(usage.turn.money),
            conversation=_money(usage.session.money),
            day=_money(usage.today.money),
            month=_money(usage.month.money),
            currency=CURRENCY,
        )
        self._warn()
        self._changed.set()

    def _warn(self) -> None:
        """Log, once in a conversation, that a cap is near or reached."""
        current = allowance(self._usage, self._caps)
        if current.period and current.level is not self._warned:
            self._warned = current.level
            log.event("usage.cap", level="warning", cap=current.period.value, reached=current.level.value)

    @property
    def stop(self) -> Trouble | None:
        """The reason to stop the conversation; None if spending is below all caps."""
        current = allowance(self._usage.on(self._today()), self._caps)
        return CAP_TROUBLE[current.period] if current.period and current.level is Level.STOP else None

    async def run(self) -> None:
        """Save changes until cancelled, and once more then."""
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(SETTLE_S)
                await self._save()
        finally:
            if self._changed.is_set():
                await self._save()

    async def _save(self) -> None:
        self._changed.clear()
        await self._store.save(self._usage.stored())


def _money(amount: float) -> str:
    return f"{amount:.6f}"
