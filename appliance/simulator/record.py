"""Records of sessions: samples, kinds of messages, turns; no text, no token."""

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
    """Seconds since the connection was opened."""
    sender: str
    kind: str
    """Field names, for example ``realtimeInput.audio``."""


@dataclass(slots=True)
class TurnRecord:
    """One turn of the model."""

    reply: int
    """Position in the script, from 0."""
    at_sample: int
    """The person's accepted samples when it began."""
    tool_calls: tuple[str, ...] = ()
    sent_samples: int = 0
    """24 kHz."""
    interrupted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ReceivedAudio:
    """Samples received over one connection."""

    connection: int
    samples: Pcm
    resumed_from: tuple[int, int] | None
    """See `SessionRecord.resumed_from`."""


@dataclass(slots=True)
class SessionRecord:
    """One connection from its set-up to its end."""

    number: int
    """From 1, in the order of the set-ups."""
    model: str
    push_to_talk: bool
    resumed: bool
    session: int = 0
    """Number of the session's first connection, the same for all its connections."""
    resumed_from: tuple[int, int] | None = None
    """Number of the connection that offered the handle, and the samples that it had received by then."""
    chunks: list[Pcm] = field(default_factory=list)
    received_samples: int = 0
    """Accepted samples; in push-to-talk mode, those between activityStart and activityEnd."""
    kept_samples: int = 0
    """Samples in ``chunks``: the first MAX_SAMPLES."""
    outside_samples: int = 0
    """Samples discarded because they came outside of a push-to-talk turn."""
    edges: list[tuple[str, int]] = field(default_factory=list)
    """Detected beginnings and ends of speech, and their positions in the received samples."""
    turns: list[TurnRecord] = field(default_factory=list)
    messages: list[MessageRecord] = field(default_factory=list)
    messages_not_kept: int = 0
    """Messages beyond MAX_MESSAGES."""
    close_code: int | None = None
    """None while the connection lasts; 1006 without a close frame."""

    @property
    def interruptions(self) -> int:
        """Number of interrupted turns."""
        return sum(turn.interrupted for turn in self.turns)

    def samples(self) -> Pcm:
        """Return the received samples that were kept, 16 kHz mono."""
        return np.concatenate([np.zeros(0, dtype=np.int16), *self.chunks])

    @property
    def received(self) -> ReceivedAudio:
        """The samples received over this connection."""
        return ReceivedAudio(self.number, self.samples(), self.resumed_from)

    def take(self, samples: Pcm) -> None:
        """Add accepted samples."""
        self.received_samples += len(samples)
        kept = samples[: MAX_SAMPLES - self.kept_samples]
        if len(kept):
            self.chunks.append(kept)
            self.kept_samples += len(kept)

    def note(self, message: MessageRecord) -> None:
        """Add a message."""
        if len(self.messages) < MAX_MESSAGES:
            self.messages.append(message)
        else:
            self.messages_not_kept += 1

    def write(self, directory: Path) -> None:
        """Write ``session-<n>.wav``, then ``session-<n>.json``, each atomically; raises OSError."""
        target = directory / f"session-{self.number}"
        write_atomically(target.with_suffix(".wav"), self._wav())
        write_atomically(target.with_suffix(".json"), (json.dumps(self._as_json(), indent=1) + "\n").encode())

    def _wav(self) -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(UPLINK.channels)
            file.setsampwidth(2)
            file.setframerate(UPLINK.rate_hz)
            file.writeframes(self.samples().astype("<i2").tobytes())
        return buffer.getvalue()

    def _as_json(self) -> dict[str, Any]:
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


def session_audio(connections: Iterable[ReceivedAudio]) -> Pcm:
    """Return the samples that a session has kept after these connections, given in order.

    A resumed session continues from its handle: samples that an earlier connection received after it are forgotten.
    """
    parts: list[tuple[int, Pcm]] = []
    for received in connections:
        if received.resumed_from is not None:
            last, count = received.resumed_from
            kept = [(number, samples) for number, samples in parts if number <= last]
            parts = [(number, samples[:count] if number == last else samples) for number, samples in kept]
        parts.append((received.connection, received.samples))
    return np.concatenate([np.zeros(0, dtype=np.int16), *(samples for _, samples in parts)])
