"""Counts what conversations cost as they go on, and keeps the sums over restarts."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Final

from appliance import log
from appliance.core.events import Trouble
from appliance.live.messages import UsageReported
from appliance.live.ports import Store
from appliance.live.usage.pricing import CURRENCY, TOLD, Caps, Level, allowance, price_of, restored

SETTLE_S: Final = 2.0
"""Reports that come closer together are written as one."""


class UsageRecorder:
    """The sums of today and of this month; `run` writes them down."""

    def __init__(self, caps: Caps, store: Store, today: Callable[[], date]) -> None:
        self._caps = caps
        self._store = store
        self._today = today
        self._usage = restored(store.load(), today())
        self._warned: Level = Level.OK
        self._changed = asyncio.Event()

    def conversation(self) -> None:
        """Another conversation begins."""
        self._usage = self._usage.on(self._today()).new_session()
        self._warned = Level.OK

    def count(self, report: UsageReported, model: str) -> None:
        """Add what was billed, and log it."""
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
        """Say once in a conversation that a cap is near or reached."""
        how = allowance(self._usage, self._caps)
        if how.span and how.level is not self._warned:
            self._warned = how.level
            log.event("usage.cap", level="warning", cap=how.span.value, reached=how.level.value)

    @property
    def stop(self) -> Trouble | None:
        """Why no further turn may be had; None where one may."""
        how = allowance(self._usage.on(self._today()), self._caps)
        return TOLD[how.span] if how.span and how.level is Level.STOP else None

    async def run(self) -> None:
        """Write what has changed, until cancelled; then once more."""
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(SETTLE_S)
                await self._write()
        finally:
            if self._changed.is_set():
                await self._write()

    async def _write(self) -> None:
        self._changed.clear()
        await self._store.save(self._usage.stored())


def _money(amount: float) -> str:
    return f"{amount:.6f}"
