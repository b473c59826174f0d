"""A person next to the virtual card: asks, listens, and speaks over the answers. Pure; one thread."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.units import UPLINK, Pcm, Seconds

OPEN_FOR_S: Final = Seconds(2.0)
"""Seconds that the microphone must stay open before the person asks: a probe is shorter."""
LISTENS_S: Final = Seconds(4.0)
"""Time for which an answer sounds before the person speaks over it; no earcon is as long."""
AGAIN_S: Final = Seconds(8.0)
"""Time without an answer after which the question is asked again."""
MOST_ASKED: Final = 3
BREATH_S: Final = Seconds(0.6)
"""A longer silence is the end of an answer."""
_PAUSE_S: Final = 2.0
"""A longer silence in a recording lies between two things that are said."""
_BREAK_S: Final = 0.2
"""Longest silence in what is said over an answer: whoever interrupts does not wait."""
_MARGIN_S: Final = 0.2
_FRAME_S: Final = 0.02
_FRAME: Final = UPLINK.frames(_FRAME_S)
_QUIET: Final = 0.02
"""Amplitude of what counts as silence, as a share of the loudest."""
_SOUNDS: Final = 100
"""Amplitude of a sound from the speaker, of 32767."""


def sayings(recording: Pcm) -> list[Pcm]:
    """Return what is said in a recording, 16 kHz mono: the pieces between its pauses of more than two seconds."""
    loud = np.flatnonzero(_is_loud(recording))
    pieces = np.split(loud, np.flatnonzero(np.diff(loud) > _PAUSE_S / _FRAME_S) + 1) if len(loud) else []
    margin = UPLINK.frames(_MARGIN_S)
    return [recording[max(0, piece[0] * _FRAME - margin) : (piece[-1] + 1) * _FRAME + margin] for piece in pieces]


def fluent(words: Pcm) -> Pcm:
    """Return what is said, from its first sound on, without its longer pauses."""
    frames = words[: len(words) // _FRAME * _FRAME].reshape(-1, _FRAME)
    longest = round(_BREAK_S / _FRAME_S)
    quiet, kept = longest, []
    for frame, loud in zip(frames, _is_loud(words), strict=True):
        quiet = 0 if loud else quiet + 1
        if quiet <= longest:
            kept.append(frame)
    return np.concatenate([np.zeros(0, np.int16), *kept])


def _is_loud(samples: Pcm) -> npt.NDArray[np.bool_]:
    """Return whether each frame of `_FRAME` samples is louder than silence."""
    peaks = np.abs(samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.int32)).max(axis=1)
    return np.asarray(peaks > max(_QUIET * peaks.max(initial=0), 1))


class SimulatedPerson:
    """Says the first thing once the microphone has been open for a while, each other one over an answer.

    A question that nothing at all answers, not even an earcon, is asked again.
    """

    def __init__(self, said: Sequence[Pcm], listens_s: Seconds = LISTENS_S) -> None:
        """``said`` holds samples, 16 kHz mono."""
        self.asked = 0
        """Times that the question was asked."""
        self._question, self._left = list(said[:1]), [fluent(words) for words in said[1:]]
        self._listens_s = listens_s
        self._answered = False
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
        self._hear(played, duration_s)
        if self._speaks_s:
            return None
        if not self._answered and self.asked < MOST_ASKED:
            return self._ask()
        if self._left and self._sounding_s >= self._listens_s:
            return self._say(self._left.pop(0))
        return None

    def _hear(self, played: Pcm, duration_s: Seconds) -> None:
        sounds = np.abs(played.astype(np.int32)).max(initial=0) > _SOUNDS
        self._silent_s = 0.0 if sounds else self._silent_s + duration_s
        self._sounding_s = 0.0 if self._silent_s > BREATH_S else self._sounding_s + duration_s
        self._answered = self._answered or (sounds and self.asked > 0)

    def _ask(self) -> Pcm | None:
        if not self._question or self._open_s < (AGAIN_S if self.asked else OPEN_FOR_S):
            return None
        self.asked += 1
        self._open_s = 0.0
        return self._say(self._question[0])

    def _say(self, words: Pcm) -> Pcm:
        self._speaks_s = UPLINK.duration(len(words))
        self._sounding_s = 0.0
        return words
