"""The light pattern of each state; pure. Lights and documents follow the tables here.

Rhythm and brightness carry the meaning and colour repeats it, so that a single white LED is enough and colour-blind
people can tell the states apart. Nothing flashes more than three times a second (WCAG 2.3.1). The light is never dark
in a state in which microphone audio leaves the device or is kept to be sent.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Final

from appliance.core.events import Fault, Trouble
from appliance.core.state import State
from appliance.indicator.ports import Look

BLINK_S: Final = 0.4
"""Length of one blink: half of it bright, half of it low."""
FLASH_S: Final = 0.15
"""Length of a flash."""
OTHER_BLINKS: Final[Mapping[State, int]] = MappingProxyType({State.TROUBLE: 5, State.FAULT: 7})
"""Blinks for anything without a kind."""


class Motion(Enum):
    """The course of brightness over time; every motion begins bright."""

    OFF = "off"
    STEADY = "steady"
    PULSE = "pulse"
    """Bright for the first half of the period, low for the second."""
    BREATHE = "breathe"
    """Smoothly down and up again."""
    BLINK = "blink"
    """``count`` short blinks, then low for the rest of the period."""
    FLASH = "flash"
    """Bright once, then low and steady."""


class Colour(Enum):
    """Red, green and blue at full brightness."""

    WHITE = (1.0, 1.0, 1.0)
    BLUE = (0.0, 0.2, 1.0)
    CYAN = (0.0, 0.8, 1.0)
    GREEN = (0.0, 1.0, 0.1)
    AMBER = (1.0, 0.4, 0.0)
    RED = (1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A colour and the course of its brightness; ``high`` and ``low`` are 0 to 1."""

    colour: Colour
    motion: Motion
    period_s: float = 1.0
    high: float = 1.0
    low: float = 0.0
    count: int = 1
    """Blinks per period."""

    @property
    def moves(self) -> bool:
        """Whether the pattern is animated."""
        return self.motion not in {Motion.OFF, Motion.STEADY}

    def level(self, seconds: float) -> float:
        """Return the brightness, 0 to 1, this long after the pattern began."""
        phase_s = seconds % self.period_s
        match self.motion:
            case Motion.OFF:
                return 0.0
            case Motion.STEADY:
                return self.high
            case Motion.PULSE:
                return self.high if phase_s < self.period_s / 2 else self.low
            case Motion.BREATHE:
                share = (1 + math.cos(math.tau * phase_s / self.period_s)) / 2
                return self.low + (self.high - self.low) * share
            case Motion.BLINK:
                bright = phase_s < self.count * BLINK_S and phase_s % BLINK_S < BLINK_S / 2
                return self.high if bright else self.low
            case Motion.FLASH:
                return self.high if seconds < FLASH_S else self.low


PATTERNS: Final[Mapping[State, Pattern]] = MappingProxyType(
    {
        State.STARTING: Pattern(Colour.WHITE, Motion.BREATHE, period_s=4.0),
        State.IDLE: Pattern(Colour.WHITE, Motion.STEADY, high=0.04),
        State.CONNECTING: Pattern(Colour.BLUE, Motion.PULSE, period_s=1.0, low=0.4),
        State.LISTENING: Pattern(Colour.CYAN, Motion.STEADY),
        State.THINKING: Pattern(Colour.CYAN, Motion.BREATHE, period_s=1.4, low=0.2),
        State.SPEAKING: Pattern(Colour.GREEN, Motion.BREATHE, period_s=0.7, low=0.4),
        State.INTERRUPTED: Pattern(Colour.WHITE, Motion.FLASH, low=0.3),
        State.RECONNECTING: Pattern(Colour.BLUE, Motion.BLINK, period_s=1.6, low=0.2, count=2),
        State.FAREWELL: Pattern(Colour.GREEN, Motion.BREATHE, period_s=3.0, low=0.1),
        State.TROUBLE: Pattern(Colour.AMBER, Motion.BLINK, period_s=3.0, count=OTHER_BLINKS[State.TROUBLE]),
        State.FAULT: Pattern(Colour.RED, Motion.BLINK, period_s=4.0, low=0.15, count=OTHER_BLINKS[State.FAULT]),
        State.STOPPED: Pattern(Colour.WHITE, Motion.OFF),
    }
)

# Troubles with the same remedy look the same; the spoken message tells them apart: 1 check the network, 2 ask the
# installer, 3 wait, 4 ask again.
BLINKS: Final[Mapping[Trouble | Fault, int]] = MappingProxyType(
    {
        Trouble.NETWORK: 1,
        Trouble.CLOCK: 1,
        Trouble.REFUSED: 2,
        Trouble.NOT_ENROLLED: 2,
        Trouble.SETTINGS: 2,
        Trouble.QUOTA: 3,
        Trouble.CAP_SESSION: 3,
        Trouble.CAP_DAY: 3,
        Trouble.CAP_MONTH: 3,
        Trouble.SILENT_SERVICE: 4,
        Trouble.LOST: 4,
        Trouble.SERVICE: 4,
        Trouble.DECLINED: 4,
        Fault.MICROPHONE: 1,
        Fault.SPEAKER: 2,
        Fault.WAKE_WORD: 3,
        Fault.BUTTON: 4,
        Fault.ENROLMENT: 5,
        Fault.LIGHT: 6,
    }
)

_MEANINGS: Final[Mapping[State | Trouble | Fault, str]] = MappingProxyType(
    {
        State.STARTING: "starting; not ready yet",
        State.IDLE: "ready for the wake word or the button; nothing leaves the device",
        State.CONNECTING: "it heard you and is connecting; keep talking, nothing is lost",
        State.LISTENING: "listening; what you say is sent",
        State.THINKING: "thinking about the answer",
        State.SPEAKING: "speaking the answer",
        State.INTERRUPTED: "you interrupted it; it is listening",
        State.RECONNECTING: "the connection was lost and is being restored; what you say is kept",
        State.FAREWELL: "the last words of the conversation",
        State.TROUBLE: "no answer, for some other reason",
        State.FAULT: "something is broken, for some other reason",
        State.STOPPED: "switched off",
        Trouble.NETWORK: "no answer: the network or the service cannot be reached",
        Trouble.CLOCK: "no answer: its clock is not set yet",
        Trouble.REFUSED: "no answer: the server refuses this device; ask its installer",
        Trouble.NOT_ENROLLED: "no answer: this device is not enrolled yet; ask its installer",
        Trouble.SETTINGS: "no answer: its settings are not accepted; ask its installer",
        Trouble.QUOTA: "no answer: the quota is used up; try later",
        Trouble.CAP_SESSION: "the spending limit of one conversation is reached; wake it again",
        Trouble.CAP_DAY: "no answer: today's spending limit is reached",
        Trouble.CAP_MONTH: "no answer: this month's spending limit is reached",
        Trouble.SILENT_SERVICE: "no answer: the service is connected but silent; ask again",
        Trouble.LOST: "the connection broke, and the answer was lost; ask again",
        Trouble.SERVICE: "no answer: the service is down; try later",
        Trouble.DECLINED: "no answer: the service refuses to answer that; ask something else",
        Fault.MICROPHONE: "the microphone is missing or has failed",
        Fault.SPEAKER: "the speaker is missing or has failed",
        Fault.WAKE_WORD: "the wake word does not work; use the button",
        Fault.BUTTON: "the button does not work; use the wake word",
        Fault.ENROLMENT: "this device is not enrolled yet; ask its installer",
        Fault.LIGHT: "an LED does not work; the appliance says so, too",
    }
)


def pattern_of(state: State, kind: Trouble | Fault | None = None) -> Pattern:
    """Return the pattern of a state; in TROUBLE and FAULT, ``kind`` sets the number of blinks, else it is ignored."""
    pattern = PATTERNS[state]
    if kind is not None and state in {State.TROUBLE, State.FAULT}:
        return replace(pattern, count=BLINKS[kind])
    return pattern


def meaning_of(state: State, kind: Trouble | Fault | None = None) -> str:
    """Return what a state means, in words for the household."""
    return _MEANINGS[kind if kind is not None and state in {State.TROUBLE, State.FAULT} else state]


def look_at(state: State, seconds_in_state: float, kind: Trouble | Fault | None = None) -> Look:
    """Return the look of a light this long after the state began."""
    pattern = pattern_of(state, kind)
    level = pattern.level(seconds_in_state)
    red, green, blue = (level * part for part in pattern.colour.value)
    return Look(state, red, green, blue)


@dataclass(frozen=True, slots=True)
class LightRow:
    """One row of the table of lights in the documents."""

    state: State
    light: str
    meaning: str
    kind: Trouble | Fault | None = None


def describe() -> Iterator[LightRow]:
    """Yield a row for every state and every kind of trouble and fault, in the order of the states."""
    kinds: dict[State, type[Trouble | Fault]] = {State.TROUBLE: Trouble, State.FAULT: Fault}
    for state in State:
        for kind in kinds.get(state, ()):
            yield LightRow(state, described(pattern_of(state, kind)), meaning_of(state, kind), kind)
        yield LightRow(state, described(pattern_of(state)), meaning_of(state))


def described(pattern: Pattern) -> str:
    """Return the pattern in words."""
    colour = pattern.colour.name.lower()
    every = f"every {pattern.period_s:g} s"
    match pattern.motion:
        case Motion.OFF:
            return "off"
        case Motion.STEADY:
            return f"{colour}, steady" if pattern.high > 0.5 else f"faint {colour}, steady"
        case Motion.PULSE:
            return f"{colour}, dips {every}"
        case Motion.BREATHE:
            return f"{colour}, breathes {every}"
        case Motion.BLINK:
            blinks = "1 blink" if pattern.count == 1 else f"{pattern.count} blinks"
            return f"{colour}, {blinks} {every}" + (", never dark" if pattern.low else "")
        case Motion.FLASH:
            return f"{colour}, one flash"
