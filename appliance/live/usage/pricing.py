"""What conversations cost: tokens and money per turn, session, day and month, and when to stop. Pure.

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
"""Part of a cap from which on there is a warning."""
MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a million tokens, which is the price of one token in millionths."""

    text_in: float
    audio_in: float
    text_out: float
    audio_out: float

    def micros(self, report: UsageReported) -> int:
        """Return what a turn costs, in millionths. What the service does not explain counts as the dearest kind."""
        unexplained = TokenCount(other=max(0, report.total_tokens - _counted(report)))
        return round(
            _at(report.prompt + unexplained, self.text_in, self.audio_in)
            + _at(report.response, self.text_out, self.audio_out)
            + report.thoughts * self.text_out
        )


def _counted(report: UsageReported) -> int:
    return report.prompt.total + report.response.total + report.thoughts


def _at(tokens: TokenCount, text: float, audio: float) -> float:
    return tokens.text * text + tokens.audio * audio + tokens.other * max(text, audio)


_DEAREST: Final = Price(text_in=0.75, audio_in=3.00, text_out=4.50, audio_out=12.00)
PRICES: Final = (
    ("gemini-3.8-live", _DEAREST),
    ("gemini-3.1-flash-live", _DEAREST),
    ("gemini-2.5-flash-native-audio", Price(text_in=0.50, audio_in=3.00, text_out=2.00, audio_out=12.00)),
)
"""By prefix; the first match wins. Audio, nearly all of what is billed, as on the service's price list (ai.google.dev,
October 2026); the prices of text are not sure. No bill has confirmed them: caps are a safeguard, not accounts. What the
service's own search costs is not counted."""


def price_of(model: str) -> Price:
    """Return the price of ``model``, with or without ``models/``; of an unknown one, the dearest known."""
    name = model.removeprefix("models/")
    return next((price for prefix, price in PRICES if name.startswith(prefix)), _DEAREST)


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens and money."""

    tokens: int = 0
    micros: int = 0

    def __add__(self, more: "Cost") -> "Cost":
        return Cost(self.tokens + more.tokens, self.micros + more.micros)

    @property
    def money(self) -> float:
        """In `CURRENCY`."""
        return self.micros / MICRO


@dataclass(frozen=True, slots=True)
class Usage:
    """What was spent so far. Replaced, never changed."""

    day: date
    turn: Cost = Cost()
    """The newest turn."""
    session: Cost = Cost()
    today: Cost = Cost()
    month: Cost = Cost()

    def on(self, today: date) -> "Usage":
        """Begin a new day or month, if it is one. A day that is past is not believed: the clock is not set yet."""
        if today <= self.day:
            return self
        same_month = (today.year, today.month) == (self.day.year, self.day.month)
        return replace(self, day=today, today=Cost(), month=self.month if same_month else Cost())

    def new_session(self) -> "Usage":
        """A conversation begins."""
        return replace(self, turn=Cost(), session=Cost())

    def add(self, report: UsageReported, price: Price, today: date) -> "Usage":
        """Count one report; every report is billed, the whole context with it."""
        turn = Cost(max(report.total_tokens, _counted(report)), price.micros(report))
        usage = self.on(today)
        return replace(
            usage, turn=turn, session=usage.session + turn, today=usage.today + turn, month=usage.month + turn
        )

    def stored(self) -> dict[str, Any]:
        """Return what outlives the program, as JSON values."""
        return {
            "day": self.day.isoformat(),
            "today": [self.today.tokens, self.today.micros],
            "month": [self.month.tokens, self.month.micros],
        }


def restored(stored: object, today: date) -> Usage:
    """Return what `Usage.stored` gave, as of ``today``; what is not of that form counts as nothing spent."""
    if not isinstance(stored, dict):
        return Usage(today)
    try:
        usage = Usage(date.fromisoformat(stored["day"]), today=_spent(*stored["today"]), month=_spent(*stored["month"]))
    except (KeyError, TypeError, ValueError):
        return Usage(today)
    return usage.on(today)


def _spent(tokens: object, micros: object) -> Cost:
    if not isinstance(tokens, int) or not isinstance(micros, int) or min(tokens, micros) < 0:
        raise ValueError("no amounts")
    return Cost(tokens, micros)


class Span(Enum):
    """What a cap is for."""

    SESSION = "session"
    DAY = "day"
    MONTH = "month"


class Level(Enum):
    """How much of a cap is used up."""

    OK = "ok"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that may be spent, in `CURRENCY`; None: no limit."""

    session: float | None = None
    day: float | None = None
    month: float | None = None


@dataclass(frozen=True, slots=True)
class Allowance:
    """How things stand."""

    level: Level
    span: Span | None = None
    """Whose cap it is; None where all is well."""


TOLD: Final[Mapping[Span, Trouble]] = MappingProxyType(
    {Span.SESSION: Trouble.CAP_SESSION, Span.DAY: Trouble.CAP_DAY, Span.MONTH: Trouble.CAP_MONTH}
)
"""What the household gets to know of a cap that is reached."""
_LONGEST_FIRST: Final = (Span.MONTH, Span.DAY, Span.SESSION)


def allowance(usage: Usage, caps: Caps) -> Allowance:
    """Return whether the next turn may be had: the worst of all caps; of two equally bad, the longer one."""
    amounts = {
        Span.SESSION: (usage.session, caps.session),
        Span.DAY: (usage.today, caps.day),
        Span.MONTH: (usage.month, caps.month),
    }
    levels = {span: _level(*amounts[span]) for span in _LONGEST_FIRST}
    for level in (Level.STOP, Level.WARN):
        for span, reached in levels.items():
            if reached is level:
                return Allowance(level, span)
    return Allowance(Level.OK)


def _level(spent: Cost, cap: float | None) -> Level:
    if cap is None:
        return Level.OK
    if spent.micros >= cap * MICRO:
        return Level.STOP
    return Level.WARN if spent.micros >= WARN_AT * cap * MICRO else Level.OK
