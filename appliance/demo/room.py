"""A demo in a room: what was at the virtual card's jacks, and how the appliance took being spoken over."""

import json
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from appliance.conversation import Moment
from appliance.core.state import State, Yielding
from appliance.demo.recorder import Recording
from appliance.service.status import EchoCancellationStatus
from appliance.units import REPLY, Pcm, Seconds

PERSON: Final = "person.wav"
"""In the room's directory: the answers as the person hears them."""
SILENT_S: Final = 1.0
"""A shorter gap in an answer is a pause of it: a paused answer is played on after 0.7 s."""
REACTION_S: Final = 1.5
"""Longest time from the person's last word to an interruption that is still due to it."""
_STEP_S: Final = 0.01
_AUDIBLE: Final = 30
"""Amplitude of an answer that is not silent, of 32767; one that is ducked is louder."""

Span = tuple[Seconds, Seconds]
"""Begin and end, by the computer's clock."""


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """The record that `appliance.virtual_card` has written."""

    begun_at: Seconds
    """When the first sample of both signals was at its jack, by the computer's clock."""
    said: Sequence[Span]
    """When the person was heard."""
    asked: int
    """Number of the first of these that were questions, not said over an answer."""
    late: int
    """Microphone samples that may have been read before they were written: the machine was too busy."""
    microphone: Pcm
    """16 kHz mono, with echo."""
    speaker: Pcm
    """24 kHz mono, as played."""


@dataclass(frozen=True, slots=True)
class SpokenOver:
    """An answer that the person spoke over; times since the first word over it."""

    at: Seconds
    """By the computer's clock."""
    first_duck_ms: float | None
    """Until the answer was turned down, paused or flushed; None if it never was."""
    silent_ms: float | None
    """Until it fell silent and stayed so; None if it was heard to its end."""


@dataclass(frozen=True, slots=True)
class RoomReport:
    """The result of a demo in a room."""

    distance_m: float
    false_interruptions: int
    """Answers that were cut off although the person was silent."""
    false_pauses: int
    """Times that one was paused then, and played on."""
    false_ducks: int
    """Times that one was turned down then."""
    spoken_over: Sequence[SpokenOver]
    late: int
    echo: EchoCancellationStatus | None

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values, explained in docs/demo.md."""
        echo = self.echo.model_dump() if self.echo else None
        return {
            "distance_m": self.distance_m,
            "interrupted_itself": self.false_interruptions,
            "false_pauses": self.false_pauses,
            "false_ducks": self.false_ducks,
            "first_duck_ms": [_rounded(one.first_duck_ms) for one in self.spoken_over],
            "silent_ms": [_rounded(one.silent_ms) for one in self.spoken_over],
            "echo": echo,
            "late_samples": self.late,
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the main figures, as rows of a table."""
        yield "interrupted itself", _times(self.false_interruptions, "no")
        stopped = [_milliseconds(one.silent_ms) for one in self.spoken_over]
        yield "interrupted by voice after", ", ".join(stopped) or "nobody spoke over an answer"
        ducked = [_milliseconds(one.first_duck_ms) for one in self.spoken_over]
        yield "turned down by voice after", ", ".join(ducked) or "-"
        yield "turned down without cause", _times(self.false_ducks, "never")
        yield "paused without cause", _times(self.false_pauses, "never")
        if self.late:
            yield "samples of the room that came late", f"{self.late:,}: this computer is too busy for these figures"
        if self.echo is None:
            return
        yield "echo cancellation", " ".join(word for word in (self.echo.mode, self.echo.state) if word)
        if self.echo.delay_s is not None:
            yield "delay of the echo", f"{self.echo.delay_s * 1000:.0f} ms"
        if self.echo.erle_db is not None:
            yield "echo taken away (ERLE, linear part)", f"{self.echo.erle_db:.0f} dB"
        if self.echo.ppm is not None:
            yield "drift of the speaker's clock", f"{self.echo.ppm:.0f} ppm"


def read_record(directory: Path) -> RoomRecord | None:
    """Return the record of a room; None if it ended without one."""
    try:
        document = json.loads((directory / "room.json").read_text(encoding="ascii"))
        microphone, speaker = (_samples(directory / f"{name}.wav") for name in ("microphone", "speaker"))
    except (OSError, EOFError, ValueError, wave.Error):
        return None
    said = [(Seconds(begin), Seconds(end)) for begin, end in document["said"]]
    return RoomRecord(Seconds(document["begun_at"]), said, document["asked"], document["late"], microphone, speaker)


def room_report(
    record: RoomRecord, recording: Recording, distance_m: float, echo: EchoCancellationStatus | None
) -> RoomReport:
    """Return the report on a recorded demo."""
    over = record.said[record.asked :]
    moments = recording.moments
    cut, paused, ducked = (_times_of(moments, is_one) for is_one in (_cuts, _pauses, _ducks))
    return RoomReport(
        distance_m=distance_m,
        false_interruptions=_undue(cut, over),
        false_pauses=_undue(paused, over),
        false_ducks=_undue(ducked, over),
        spoken_over=[_spoken_over(record, span, sorted(cut + paused + ducked)) for span in over],
        late=record.late,
        echo=echo,
    )


def _times_of(moments: Sequence[Moment], is_one: Callable[[Moment], bool]) -> list[Seconds]:
    return [moment.at for moment in moments if is_one(moment)]


def _cuts(moment: Moment) -> bool:
    return moment.after.state is State.INTERRUPTED is not moment.before.state


def _pauses(moment: Moment) -> bool:
    return moment.after.yielding is Yielding.PAUSED is not moment.before.yielding


def _ducks(moment: Moment) -> bool:
    return moment.after.yielding is Yielding.DUCKED is not moment.before.yielding


def _undue(times: Sequence[Seconds], said: Sequence[Span]) -> int:
    """Return how many of these times are not due to anything that was said."""
    return sum(not _is_due(at, said) for at in times)


def _is_due(at: Seconds, said: Sequence[Span]) -> bool:
    return any(begin <= at <= end + REACTION_S for begin, end in said)


def _spoken_over(record: RoomRecord, span: Span, yielded: Sequence[Seconds]) -> SpokenOver:
    begin, end = span
    ducked = next((at for at in yielded if begin <= at <= end + REACTION_S), None)
    silent = silent_from(record, begin)
    in_time = silent is not None and silent <= end + REACTION_S
    return SpokenOver(
        begin,
        None if ducked is None else (ducked - begin) * 1000,
        (silent - begin) * 1000 if silent is not None and in_time else None,
    )


def silent_from(record: RoomRecord, since: Seconds) -> Seconds | None:
    """Return when the speaker fell silent for at least `SILENT_S`, at or after a moment; None if it never did."""
    step, first = REPLY.frames(_STEP_S), max(0, REPLY.frames(since - record.begun_at))
    rest = record.speaker[first:]
    steps = rest[: len(rest) // step * step].reshape(-1, step)
    loud = np.flatnonzero(np.abs(steps.astype(np.int32)).max(axis=1, initial=0) > _AUDIBLE)
    edges = np.concatenate(([-1], loud, [len(steps)]))
    gaps = np.flatnonzero(np.diff(edges) - 1 >= SILENT_S / _STEP_S)
    return None if not len(gaps) else Seconds(since + (int(edges[gaps[0]]) + 1) * _STEP_S)


def _samples(path: Path) -> Pcm:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)


def _milliseconds(milliseconds: float | None) -> str:
    return "never" if milliseconds is None else f"{milliseconds:.0f} ms"


def _times(count: int, none: str) -> str:
    return none if not count else "once" if count == 1 else f"{count} times"
