"""The messages between the daemon and its audio worker, one to a datagram of their socket. Pure.

Both ends are of one version and on one machine: native byte order, and no version number. Moments are those of
CLOCK_MONOTONIC, which all processes share.
"""

import json
import struct
from dataclasses import asdict, dataclass, fields
from enum import Enum, IntEnum
from typing import Any, ClassVar, Final, Self, get_type_hints

import numpy as np

from appliance.audio.cards.alsa import Presence
from appliance.audio.cards.devices import Direction
from appliance.audio.ports import Edge, PlayedPeriod
from appliance.units import Pcm, SampleIndex, Seconds

MAX_BYTES: Final = 32 * 1024
"""Of a message."""
MAX_SAMPLES: Final = 12_000
"""Of one message: half a second of a reply; more is sent in pieces."""


PERIODS_MS: Final = (5, 10, 20, 40)
"""Of the speaker; longer ones delay more, and bear a busier machine."""


class WireError(Exception):
    """A datagram is none of the messages."""


class WorkerExit(IntEnum):
    """Why a worker has ended: its exit codes."""

    GONE = 0
    """The daemon is gone."""
    LOST = 3
    """A card has stopped."""
    AGAIN = 4
    """A card has come that PortAudio does not know of: a new process will."""
    NONSENSE = 5
    """The daemon sent what is no order."""


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """The cards to open, by the names of the settings; None: not this direction. A worker's command line."""

    microphone: str | None
    speaker: str | None
    period_ms: int = 10
    """Of the speaker, one of `PERIODS_MS`."""
    prebuffer_s: float = 0.06
    channel: int | None = None
    """Microphone channel, counted from 1; None: the only one, or two of them mixed."""

    def document(self) -> str:
        """Return it as one argument."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, document: str) -> Self:
        """Read what `document` returned."""
        return cls(**json.loads(document))


class Scheduling(Enum):
    """How the system runs the threads of the cards."""

    REAL_TIME = "real-time"
    """SCHED_FIFO: before everything else."""
    ORDINARY = "ordinary"
    """Real time was refused: a busy CPU is heard."""


# Orders of the daemon; `audio.ports.Deck` says what they mean.


@dataclass(frozen=True, slots=True)
class QueueSamples:
    """See `ports.Deck.load`."""

    samples: Pcm


@dataclass(frozen=True, slots=True)
class Complete:
    """See `ports.Deck.complete`."""


@dataclass(frozen=True, slots=True)
class Flush:
    """See `ports.Deck.cut`."""


class Part(Enum):
    """Where in a sound a piece of it stands."""

    MORE = "more"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class Sound:
    """See `ports.Deck.sound`; a long one comes in pieces."""

    part: Part
    samples: Pcm


@dataclass(frozen=True, slots=True)
class Gain:
    """See `ports.Deck.set_gain`."""

    gain: float


# Reports of the worker.


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
    at: Seconds
    """When its first sample was captured, or is heard."""
    label: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A card cannot be opened now; the worker goes on looking for it."""

    direction: Direction
    presence: Presence
    text: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A card has stopped; the worker ends after this."""

    direction: Direction
    text: str


@dataclass(frozen=True, slots=True)
class Captured:
    """A block of the microphone; ``start`` counts from the worker's first sample."""

    start: SampleIndex
    captured_at: Seconds
    """When the last sample was captured."""
    samples: Pcm


@dataclass(frozen=True, slots=True)
class Played:
    """See `audio.ports.Pulled`."""

    audible_at: Seconds
    start: int
    count: int
    edge: Edge

    @property
    def pulled(self) -> PlayedPeriod:
        """What playback is told."""
        return PlayedPeriod(self.audible_at, self.start, self.count, self.edge)


@dataclass(frozen=True, slots=True)
class PeriodIncreased:
    """Underruns have made the speaker's periods longer."""

    period_ms: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker lives; counts since it began."""

    captured: int = 0
    """Samples, 16 kHz."""
    lost: int = 0
    """Of the microphone, samples."""
    unsent: int = 0
    """Reports dropped because the daemon did not read, blocks of the microphone among them."""
    overflows: int = 0
    underflows: int = 0
    underruns: int = 0
    """Times that a reply ran dry."""
    failures: int = 0
    """Callbacks that ended with an exception."""
    microphone_ppm: float = 0.0
    """How much faster the microphone's clock is than the computer's; 0 for the first minute."""
    speaker_ppm: float = 0.0
    prebuffer_s: float = 0.0


Order = QueueSamples | Complete | Flush | Sound | Gain
Report = Opened | Refused | Lost | Captured | Played | PeriodIncreased | Heartbeat
Message = Order | Report

_FORMATS: Final[dict[Any, str]] = {int: "q", float: "d"}


class _Form:
    """How one kind of message is written: a byte, its numbers, then its samples or its text."""

    kinds: ClassVar[tuple[type[Message], ...]] = (
        QueueSamples, Complete, Flush, Sound, Gain, Opened, Refused, Lost, Captured, Played, PeriodIncreased, Heartbeat,
    )  # fmt: skip

    def __init__(self, number: int, kind: type[Message]) -> None:
        self.number = number
        self.kind = kind
        hints = get_type_hints(kind)
        self.numbers: list[str] = []
        self.enums: dict[str, tuple[Enum, ...]] = {}
        self.tail: str | None = None
        self.tail_is_text = False
        form = "=B"
        for field in fields(kind):
            hint = getattr(hints[field.name], "__supertype__", hints[field.name])
            if isinstance(hint, type) and issubclass(hint, Enum):
                self.enums[field.name] = tuple(hint)
                self.numbers.append(field.name)
                form += "B"
            elif hint in _FORMATS:
                self.numbers.append(field.name)
                form += _FORMATS[hint]
            else:
                self.tail, self.tail_is_text = field.name, hint is str
        self.struct = struct.Struct(form)

    def pack(self, message: Message) -> bytes:
        values = (getattr(message, name) for name in self.numbers)
        numbers = [
            self.enums[name].index(value) if name in self.enums else value
            for name, value in zip(self.numbers, values, strict=True)
        ]
        head = self.struct.pack(self.number, *numbers)
        if self.tail is None:
            return head
        tail: str | Pcm = getattr(message, self.tail)
        return head + (tail.encode()[: MAX_BYTES // 2] if isinstance(tail, str) else tail.tobytes())

    def unpack(self, datagram: bytes) -> Message:
        values: dict[str, Any] = dict(zip(self.numbers, self.struct.unpack_from(datagram)[1:], strict=True))
        for name, members in self.enums.items():
            values[name] = members[values[name]]
        rest = datagram[self.struct.size :]
        if self.tail is not None:
            values[self.tail] = rest.decode() if self.tail_is_text else np.frombuffer(rest, np.int16)
        elif rest:
            raise WireError(f"{self.kind.__name__} is too long")
        return self.kind(**values)


_BY_KIND: Final = {kind: _Form(number, kind) for number, kind in enumerate(_Form.kinds)}
_BY_NUMBER: Final = tuple(_BY_KIND.values())


def pack(message: Message) -> bytes:
    """Return the datagram; samples are `MAX_SAMPLES` at the most, which is the sender's to see to."""
    return _BY_KIND[type(message)].pack(message)


def unpack(datagram: bytes) -> Message:
    """Return the message; its samples share the datagram's memory.

    Raises:
        WireError: It is none.
    """
    try:
        return _BY_NUMBER[datagram[0]].unpack(datagram)
    except (IndexError, ValueError, UnicodeDecodeError, struct.error) as error:
        raise WireError(f"not a message: {len(datagram)} bytes") from error


def pieces(samples: Pcm) -> list[Pcm]:
    """Cut samples into parts that fit into one message each."""
    return [samples[start : start + MAX_SAMPLES] for start in range(0, len(samples), MAX_SAMPLES)]
