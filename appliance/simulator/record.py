"""What happened in a session, for proof: samples, messages, turns; never what was said, and no token."""

import io
import json
import wave
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from appliance.storage.atomic import write_atomically
from appliance.units import UPLINK, Pcm

MAX_SAMPLES: Final = UPLINK.frames(600)
MAX_MESSAGES: Final = 100_000


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """One message of either side."""

    at_s: float
    """Since the connection was opened."""
    sender: str
    kind: str
    """Names of the fields, for example ``realtimeInput.audio``."""


@dataclass(slots=True)
class TurnRecord:
    """One turn of the model."""

    reply: int
    """Position in the script, from 0."""
    at_sample: int
    """Accepted samples of the person when it began."""
    tool_calls: tuple[str, ...] = ()
    sent_samples: int = 0
    """Of its audio, 24 kHz."""
    interrupted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Samples and messages received over one connection."""

    connection: int
    samples: Pcm
    resumed_from: tuple[int, int] | None
    """As in `SessionRecord`."""


@dataclass(slots=True)
class SessionRecord:
    """One connection from its set-up to its end."""

    number: int
    """From 1, in the order of the set-ups."""
    model: str
    push_to_talk: bool
    resumed: bool
    session: int = 0
    """Number of the session's first connection: the same on every connection of one session."""
    resumed_from: tuple[int, int] | None = None
    """Number of the connection over which the handle came, and how many of its samples the session had then."""
    chunks: list[Pcm] = field(default_factory=list)
    received_samples: int = 0
    """Accepted: in push-to-talk mode, those between activityStart and activityEnd."""
    kept_samples: int = 0
    """Of the received ones, in ``chunks``; the rest came after MAX_SAMPLES."""
    outside_samples: int = 0
    """Came outside of a push-to-talk turn and were discarded."""
    edges: list[tuple[str, int]] = field(default_factory=list)
    """Detected beginnings and ends of speech, with their position in the received samples."""
    turns: list[TurnRecord] = field(default_factory=list)
    messages: list[MessageRecord] = field(default_factory=list)
    messages_not_kept: int = 0
    """Came after MAX_MESSAGES."""
    close_code: int | None = None
    """What the connection ended with; None while it lasts, 1006 where no close frame came."""

    @property
    def interruptions(self) -> int:
        """How many turns of the model were interrupted."""
        return sum(turn.interrupted for turn in self.turns)

    def samples(self) -> Pcm:
        """Return the received samples that were kept, 16 kHz mono."""
        return np.concatenate([np.zeros(0, dtype=np.int16), *self.chunks])

    @property
    def heard(self) -> Heard:
        """Samples and messages received over this connection."""
        return Heard(self.number, self.samples(), self.resumed_from)

    def take(self, samples: Pcm) -> None:
        """Note samples that were accepted."""
        self.received_samples += len(samples)
        kept = samples[: MAX_SAMPLES - self.kept_samples]
        if len(kept):
            self.chunks.append(kept)
            self.kept_samples += len(kept)

    def note(self, message: MessageRecord) -> None:
        """Note a message."""
        if len(self.messages) < MAX_MESSAGES:
            self.messages.append(message)
        else:
            self.messages_not_kept += 1

    def write(self, directory: Path) -> None:
        """Write ``session-<n>.wav``, then ``session-<n>.json``: where the second is, both are whole; raises OSError."""
        target = directory / f"session-{self.number}"
        write_atomically(target.with_suffix(".wav"), self._wav())
        write_atomically(target.with_suffix(".json"), (json.dumps(self._facts(), indent=1) + "\n").encode())

    def _wav(self) -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(UPLINK.channels)
            file.setsampwidth(2)
            file.setframerate(UPLINK.rate_hz)
            file.writeframes(self.samples().astype("<i2").tobytes())
        return buffer.getvalue()

    def _facts(self) -> dict[str, Any]:
        return {
            "session": self.number,
            "first_connection": self.session,
            "model": self.model,
            "push_to_talk": self.push_to_talk,
            "resumed": self.resumed,
            "resumed_from": self.resumed_from,
            "received_samples": self.received_samples,
            "kept_samples": self.kept_samples,
            "outside_samples": self.outside_samples,
            "interruptions": self.interruptions,
            "close_code": self.close_code,
            "edges": [{"activity": activity, "at_sample": at} for activity, at in self.edges],
            "turns": [asdict(turn) for turn in self.turns],
            "messages_not_kept": self.messages_not_kept,
            "messages": [asdict(message) for message in self.messages],
        }


def known(connections: Iterable[Heard]) -> Pcm:
    """Return the samples that sessions know after these connections, in order.

    A session that is resumed goes on from its handle: what came after it over the connection before is forgotten.
    """
    parts: list[tuple[int, Pcm]] = []
    for heard in connections:
        if heard.resumed_from is not None:
            last, count = heard.resumed_from
            kept = [(number, samples) for number, samples in parts if number <= last]
            parts = [(number, samples[:count] if number == last else samples) for number, samples in kept]
        parts.append((heard.connection, heard.samples))
    return np.concatenate([np.zeros(0, dtype=np.int16), *(samples for _, samples in parts)])
