"""The messages between the daemon and its audio worker, one to a datagram of their socket. Pure.

Both ends run the same version on one machine: native byte order, and no version number. Times are those of
CLOCK_MONOTONIC, which all processes share.
"""

import json
import struct
from dataclasses import asdict, dataclass, fields
from enum import Enum, IntEnum
from math import isnan, nan
from types import NoneType
from typing import Any, ClassVar, Final, Self, get_args, get_type_hints

import numpy as np

from appliance.audio.cards.alsa import Availability
from appliance.audio.cards.devices import Direction
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.status import EchoStatus
from appliance.audio.ports import Block, PlayedPeriod
from appliance.units import Pcm, Seconds

MAX_BYTES: Final = 32 * 1024
"""Length of a message."""
MAX_SAMPLES: Final = 12_000
"""Samples in one message: half a second of a reply; more is sent in pieces."""
PERIODS_MS: Final = (5, 10, 20, 40)
"""Periods of the speaker; longer ones delay more, and work on a busier machine."""


class WireError(Exception):
    """A datagram is not one of the messages."""


class WorkerExit(IntEnum):
    """Exit codes of a worker."""

    DAEMON_GONE = 0
    CARD_LOST = 3
    """A card has stopped."""
    NEW_CARD = 4
    """A card has come that PortAudio does not list: a new process will."""
    BAD_MESSAGE = 5
    """The daemon sent something that is not an order."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Command line of a worker: the cards to open, by the names in the settings; None: not this direction."""

    microphone: str | None
    speaker: str | None
    period_ms: int = 10
    """Period of the speaker, one of `PERIODS_MS`."""
    prebuffer_s: float = 0.06
    channel: int | None = None
    """Microphone channel, counted from 1; None: the only one, or two of them mixed."""
    aec: Aec = Aec.OFF
    """Resolved: not `Aec.AUTO`."""

    def document(self) -> str:
        """Return the configuration as one argument."""
        return json.dumps(asdict(self) | {"aec": self.aec.value})

    @classmethod
    def parse(cls, document: str) -> Self:
        """Parse the result of `document`."""
        values = json.loads(document)
        return cls(**(values | {"aec": Aec(values["aec"])}))


class Scheduling(Enum):
    """Scheduling of the cards' threads."""

    REAL_TIME = "real-time"
    """SCHED_FIFO: before everything else."""
    ORDINARY = "ordinary"
    """Real time was refused: a busy CPU causes gaps."""


# Orders of the daemon, one for each method of `audio.ports.Mixer`.


@dataclass(frozen=True, slots=True)
class QueueSamples:
    """See `ports.Mixer.queue`."""

    samples: Pcm


@dataclass(frozen=True, slots=True)
class Complete:
    """See `ports.Mixer.complete`."""


@dataclass(frozen=True, slots=True)
class Flush:
    """See `ports.Mixer.flush`."""


@dataclass(frozen=True, slots=True)
class Duck:
    """See `ports.Mixer.duck`."""

    ducked: bool


@dataclass(frozen=True, slots=True)
class Sound:
    """See `ports.Mixer.play_sound`; a long one comes in pieces."""

    samples: Pcm
    is_last: bool
    """Whether this is the last piece."""


@dataclass(frozen=True, slots=True)
class Gain:
    """See `ports.Mixer.set_gain`."""

    gain: float


# Reports of the worker, with `audio.ports.Block`, whose index counts from the worker's first sample,
# `audio.ports.PlayedPeriod`, and `audio.echo.status.EchoStatus`, before every heartbeat if there is a canceller.


@dataclass(frozen=True, slots=True)
class Opened:
    """A card runs."""

    direction: Direction
    scheduling: Scheduling
    rate_hz: int
    channels: int
    period: int
    """Frames."""
    buffer_s: float
    audible_at: Seconds
    """When the speaker's first sample is heard; 0 for a microphone."""
    label: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A card cannot be opened now; the worker keeps looking for it."""

    direction: Direction
    availability: Availability
    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A card has stopped; the worker ends after this."""

    direction: Direction
    text: str


@dataclass(frozen=True, slots=True)
class PeriodIncreased:
    """The speaker's periods are longer from now on, after too many underflows."""

    period_ms: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker is alive; counts since it started."""

    captured: int = 0
    """Microphone samples, 16 kHz."""
    lost: int = 0
    """Microphone samples that never came."""
    unsent: int = 0
    """Reports dropped because the daemon did not read; microphone blocks may be among them."""
    overflows: int = 0
    underflows: int = 0
    underruns: int = 0
    """Times that a reply ran out of samples."""
    failures: int = 0
    """Callbacks that ended with an exception."""
    microphone_ppm: float = 0.0
    """Drift of the microphone's clock against the computer's, positive if it is faster; 0 for the first minute."""
    speaker_ppm: float = 0.0
    prebuffer_s: float = 0.0


Order = QueueSamples | Complete | Flush | Duck | Sound | Gain
Report = Opened | Refused | Lost | Block | PlayedPeriod | PeriodIncreased | EchoStatus | Heartbeat
Message = Order | Report

_FORMATS: Final[dict[Any, str]] = {int: "q", float: "d", bool: "?"}


class _Layout:
    """Layout of one kind of message: a byte, its numbers, then its samples or its text."""

    kinds: ClassVar[tuple[type[Message], ...]] = (
        QueueSamples, Complete, Flush, Duck, Sound, Gain, Opened, Refused, Lost, Block, PlayedPeriod,
        PeriodIncreased, EchoStatus, Heartbeat,
    )  # fmt: skip

    def __init__(self, number: int, kind: type[Message]) -> None:
        self.number = number
        self.kind = kind
        hints = get_type_hints(kind)
        self.numbers: list[str] = []
        self.enums: dict[str, tuple[Enum, ...]] = {}
        self.optional: list[str] = []
        """Fields that may be None: of a number, that is NaN on the wire."""
        self.text: str | None = None
        self.samples: list[str] = []
        """Streams of equal length; all but the first may be None."""
        layout = "=B"
        for field in fields(kind):
            hint, *optional = (
                get_args(hints[field.name]) if NoneType in get_args(hints[field.name]) else [hints[field.name]]
            )
            hint = getattr(hint, "__supertype__", hint)
            self.optional += [field.name] * bool(optional)
            if isinstance(hint, type) and issubclass(hint, Enum):
                self.enums[field.name] = tuple(hint)
                self.numbers.append(field.name)
                layout += "B"
            elif hint in _FORMATS:
                self.numbers.append(field.name)
                layout += _FORMATS[hint]
            elif hint is str:
                self.text = field.name
            else:
                self.samples.append(field.name)
        self.struct = struct.Struct(layout + "B" * bool(self.samples))

    def pack(self, message: Message) -> bytes:
        values = (getattr(message, name) for name in self.numbers)
        numbers = [
            self.enums[name].index(value) if name in self.enums else (nan if value is None else value)
            for name, value in zip(self.numbers, values, strict=True)
        ]
        if self.samples:
            streams = [one for name in self.samples if (one := getattr(message, name)) is not None]
            return self.struct.pack(self.number, *numbers, len(streams)) + b"".join(one.tobytes() for one in streams)
        text = getattr(message, self.text).encode()[: MAX_BYTES // 2] if self.text else b""
        return self.struct.pack(self.number, *numbers) + text

    def unpack(self, datagram: bytes) -> Message:
        _, *numbers = self.struct.unpack_from(datagram)
        rest = datagram[self.struct.size :]
        values: dict[str, Any] = {}
        if self.samples:
            streams = np.frombuffer(rest, np.int16).reshape(numbers.pop(), -1)
            values = dict(zip(self.samples, streams, strict=False))
        elif self.text:
            values[self.text] = rest.decode()
        elif rest:
            raise WireError(f"{self.kind.__name__} is too long")
        values |= zip(self.numbers, numbers, strict=True)
        for name, members in self.enums.items():
            values[name] = members[values[name]]
        for name in self.optional:
            if name in self.numbers and isnan(values[name]):
                values[name] = None
        return self.kind(**values)


_BY_KIND: Final = {kind: _Layout(number, kind) for number, kind in enumerate(_Layout.kinds)}
_BY_NUMBER: Final = tuple(_BY_KIND.values())


def pack(message: Message) -> bytes:
    """Return the datagram; the caller sends at most `MAX_SAMPLES` samples."""
    return _BY_KIND[type(message)].pack(message)


def unpack(datagram: bytes) -> Message:
    """Return the message; its samples share the datagram's memory.

    Raises:
        WireError: It is not a message.
    """
    try:
        return _BY_NUMBER[datagram[0]].unpack(datagram)
    except (IndexError, ValueError, UnicodeDecodeError, struct.error) as error:
        raise WireError(f"not a message: {len(datagram)} bytes") from error


def pieces(samples: Pcm) -> list[Pcm]:
    """Cut samples into pieces that fit into one message each."""
    return [samples[start : start + MAX_SAMPLES] for start in range(0, len(samples), MAX_SAMPLES)]
