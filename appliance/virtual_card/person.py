"""A person next to the virtual card: asks, listens, and speaks over the answers. Pure; one thread."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from appliance.units import UPLINK, Pcm, Seconds

OPEN_FOR_S: Final = Seconds(2.0)
"""Seconds that the microphone must stay open before the person asks: a probe is shorter."""
LISTENS_S: Final = Seconds(4.0)
"""How long an answer sounds before the person speaks over it; no earcon is as long."""
BREATH_S: Final = Seconds(0.6)
"""A longer silence is the end of an answer."""
_PAUSE_S: Final = 2.0
"""A longer silence in a recording lies between two things that are said."""
_MARGIN_S: Final = 0.2
_FRAME_S: Final = 0.02
_QUIET: Final = 0.02
"""Amplitude of what counts as silence, as a share of the loudest."""
_SOUNDS: Final = 100
"""Amplitude of a sound from the speaker, of 32767."""


def sayings(recording: Pcm) -> list[Pcm]:
    """Return what is said in a recording, 16 kHz mono: the pieces between its pauses of more than two seconds."""
    frame = UPLINK.frames(_FRAME_S)
    peaks = np.abs(recording[: len(recording) // frame * frame].reshape(-1, frame).astype(np.int32)).max(axis=1)
    loud = np.flatnonzero(peaks > max(_QUIET * peaks.max(initial=0), 1))
    pieces = np.split(loud, np.flatnonzero(np.diff(loud) > _PAUSE_S / _FRAME_S) + 1) if len(loud) else []
    margin = UPLINK.frames(_MARGIN_S)
    return [recording[max(0, piece[0] * frame - margin) : (piece[-1] + 1) * frame + margin] for piece in pieces]


class SimulatedPerson:
    """Says the first thing once the microphone has been open for a while, each other one over an answer."""

    def __init__(self, said: Sequence[Pcm], listens_s: Seconds = LISTENS_S) -> None:
        """``said`` holds samples, 16 kHz mono."""
        self._left = list(said)
        self._listens_s = listens_s
        self._asked = False
        self._open_s = 0.0
        self._sounding_s = 0.0
        self._silent_s = 0.0
        self._speaks_s = 0.0

    def feed(self, played: Pcm, duration_s: Seconds, *, is_open: bool) -> Pcm | None:
        """Hear what the speaker plays next; return what the person says now, if anything.

        Args:
            played: Mono, at any rate.
            duration_s: How long it is.
            is_open: Whether a program has opened the microphone.
        """
        self._speaks_s = max(0.0, self._speaks_s - duration_s)
        self._open_s = self._open_s + duration_s if is_open else 0.0
        self._silent_s = (
            0.0 if np.abs(played.astype(np.int32)).max(initial=0) > _SOUNDS else self._silent_s + duration_s
        )
        self._sounding_s = 0.0 if self._silent_s > BREATH_S else self._sounding_s + duration_s
        waited = self._sounding_s >= self._listens_s if self._asked else self._open_s >= OPEN_FOR_S
        if self._speaks_s or not waited or not self._left:
            return None
        self._asked = True
        words = self._left.pop(0)
        self._speaks_s = UPLINK.duration(len(words))
        self._sounding_s = 0.0
        return words
