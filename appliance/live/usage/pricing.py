"""The cost of conversations, in tokens and money, per turn, session, day and month; spending caps. Pure.

Money is counted in millionths of the price table's currency, so that sums are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from appliance.core.events import Trouble
from appliance.live.messages import TokenCount, UsageReported

CURRENCY: Final = "USD"
WARN_AT: Final = 0.8
"""Fraction of a cap at which to warn."""
MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Price per million tokens, which is the price of one token in millionths."""

    text_in: float
    audio_in: float
    text_out: float
    audio_out: float

    def micros(self, report: UsageReported) -> int:
        """Return the cost of a turn in millionths; tokens that the service does not break down cost the most."""
        unspecified = TokenCount(other=max(0, report.total_tokens - _counted(report)))
        return round(
            _at(report.prompt + unspecified, self.text_in, self.audio_in)
            + _at(report.response, self.text_out, self.audio_out)
            + report.thoughts * self.text_out
        )


def _counted(report: UsageReported) -> int:
    return report.prompt.total + report.response.total + report.thoughts


def _at(tokens: TokenCount, text: float, audio: float) -> float:
    return tokens.text * text + tokens.audio * audio + tokens.other * max(text, audio)


_HIGHEST: Final = Price(text_in=0.75, audio_in=3.00, text_out=4.50, audio_out=12.00)
PRICES: Final = (
    ("gemini-3.8-live", _HIGHEST),
    ("gemini-3.1-flash-live", _HIGHEST),
    ("gemini-2.5-flash-native-audio", Price(text_in=0.50, audio_in=3.00, text_out=2.00, audio_out=12.00)),
)
"""By prefix; the first match wins. Prices of audio, which is nearly all of a bill, are from the service's price list
(ai.google.dev, October 2026); those of text are uncertain. No bill has confirmed them: caps are a safeguard, not
accounting. The cost of the service's own search is not counted."""


def price_of(model: str) -> Price:
    """Return the price of ``model``, with or without ``models/``; the highest known for an unknown model."""
    name = model.removeprefix("models/")
    return next((price for prefix, price in PRICES if name.startswith(prefix)), _HIGHEST)


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens and money."""

    tokens: int = 0
    micros: int = 0

    def __add__(self, more: "Cost") -> "Cost":
        return Cost(self.tokens + more.tokens, self.micros + more.micros)

    @property
    def money(self) -> float:
        """The cost in `CURRENCY`."""
        return self.micros / MICRO


@dataclass(frozen=True, slots=True)
class Usage:
    """The costs so far. Replaced, never changed."""

    day: date
    turn: Cost = Cost()
    """The latest turn."""
    session: Cost = Cost()
    today: Cost = Cost()
    month: Cost = Cost()

    def on(self, today: date) -> "Usage":
        """Begin a new day or month if ``today`` is one. An earlier day is ignored: the clock is not set yet."""
        if today <= self.day:
            return self
        same_month = (today.year, today.month) == (self.day.year, self.day.month)
        return replace(self, day=today, today=Cost(), month=self.month if same_month else Cost())

    def new_session(self) -> "Usage":
        """Reset turn and session: a conversation begins."""
        return replace(self, turn=Cost(), session=Cost())

    def add(self, report: UsageReported, price: Price, today: date) -> "Usage":
        """Add one report; each one is billed, including the whole context."""
        turn = Cost(max(report.total_tokens, _counted(report)), price.micros(report))
        usage = self.on(today)
        return replace(
            usage, turn=turn, session=usage.session + turn, today=usage.today + turn, month=usage.month + turn
        )

    def stored(self) -> dict[str, Any]:
        """Return the values to keep across restarts, as JSON."""
        return {
            "day": self.day.isoformat(),
            "today": [self.today.tokens, self.today.micros],
            "month": [self.month.tokens, self.month.micros],
        }


def restored(stored: object, today: date) -> Usage:
    """Restore the value of `Usage.stored` as of ``today``; anything else counts as nothing spent."""
    if not isinstance(stored, dict):
        return Usage(today)
    try:
        usage = Usage(date.fromisoformat(stored["day"]), today=_cost(*stored["today"]), month=_cost(*stored["month"]))
    except (KeyError, TypeError, ValueError):
        return Usage(today)
    return usage.on(today)


def _cost(tokens: object, micros: object) -> Cost:
    if not isinstance(tokens, int) or not isinstance(micros, int) or min(tokens, micros) < 0:
        raise ValueError("not a cost")
    return Cost(tokens, micros)


class CapPeriod(Enum):
    """The period of a cap."""

    SESSION = "session"
    DAY = "day"
    MONTH = "month"


class Level(Enum):
    """Spending relative to a cap."""

    OK = "ok"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Caps:
    """Spending limits in `CURRENCY`; None: no limit."""

    session: float | None = None
    day: float | None = None
    month: float | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """Spending compared with the caps."""

    level: Level
    period: CapPeriod | None = None
    """The cap's period; None with `Level.OK`."""


CAP_TROUBLE: Final[Mapping[CapPeriod, Trouble]] = MappingProxyType(
    {CapPeriod.SESSION: Trouble.CAP_SESSION, CapPeriod.DAY: Trouble.CAP_DAY, CapPeriod.MONTH: Trouble.CAP_MONTH}
)
"""The trouble message for a cap that is reached."""
_LONGEST_FIRST: Final = (CapPeriod.MONTH, CapPeriod.DAY, CapPeriod.SESSION)


def allowance(usage: Usage, caps: Caps) -> Allowance:
    """Compare spending with all caps and return the worst result; of equal ones, that of the longer period."""
    amounts = {
        CapPeriod.SESSION: (usage.session, caps.session),
        CapPeriod.DAY: (usage.today, caps.day),
        CapPeriod.MONTH: (usage.month, caps.month),
    }
    levels = {period: _level(*amounts[period]) for period in _LONGEST_FIRST}
    for level in (Level.STOP, Level.WARN):
        for period, reached in levels.items():
            if reached is level:
                return Allowance(level, period)
    return Allowance(Level.OK)


def _level(spent: Cost, cap: float | None) -> Level:
    if cap is None:
        return Level.OK
    if spent.micros >= cap * MICRO:
        return Level.STOP
    return Level.WARN if spent.micros >= WARN_AT * cap * MICRO else Level.OK
