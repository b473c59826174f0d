"""Speech detection by energy, on audio time: the same samples give the same turns. Pure.

Each 20 ms frame has a level. The noise floor falls with the quietest frames at once and rises slowly. A frame is speech
if its level is well above the floor and above an absolute minimum.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import numpy as np

from appliance.simulator.contract.setup import DetectionSettings
from appliance.units import UPLINK, Pcm

FRAME_MS: Final = 20
_FRAME: Final = UPLINK.frames(FRAME_MS / 1000)
_QUIETEST_DB: Final = -96.0
_FIRST_FLOOR_DB: Final = -66.0
_FLOOR_RISE_DB: Final = 3.0 * FRAME_MS / 1000
"""3 dB per second: too slow to rise between the pauses of speech, fast enough for a room that gets louder."""
_START_DB: Final = 12.0
_STAY_DB: Final = 8.0
_MIN_START_DB: Final = -48.0
_MIN_STAY_DB: Final = -54.0


class Activity(Enum):
    """The two edges of speech; the values are the wire's."""

    START = "ACTIVITY_START"
    END = "ACTIVITY_END"


@dataclass(frozen=True, slots=True)
class Edge:
    """The beginning or end of speech."""

    activity: Activity
    at: int
    """Stream position in samples: the first sample of speech, or the one after the last."""


class ActivityDetector(Protocol):
    """A way to find the edges of speech in a stream of 16 kHz mono samples."""

    def feed(self, samples: Pcm) -> list[Edge]:
        """Take any number of samples; return the edges found."""

    def end_of_stream(self) -> list[Edge]:
        """End speech, if any: the stream pauses here."""


class SpeechDetector:
    """Finds the edges of speech in a stream of 16 kHz mono samples."""

    def __init__(self, settings: DetectionSettings) -> None:
        self._start_frames = max(1, round(settings.prefix_padding_ms / FRAME_MS))
        self._end_frames = max(1, round(settings.silence_duration_ms / FRAME_MS))
        self._rest: Pcm = np.zeros(0, dtype=np.int16)
        self._position = 0
        """Samples in whole frames so far."""
        self._floor_db = _FIRST_FLOOR_DB
        self._speaking = False
        self._run = 0
        """Consecutive frames that contradict the current state."""

    def feed(self, samples: Pcm) -> list[Edge]:
        """Take any number of samples; return the edges found."""
        pending = np.concatenate([self._rest, samples])
        whole = len(pending) // _FRAME * _FRAME
        self._rest = pending[whole:]
        edges = (self._frame(level) for level in _levels_db(pending[:whole].reshape(-1, _FRAME)))
        return [edge for edge in edges if edge is not None]

    def end_of_stream(self) -> list[Edge]:
        """End speech, if any: the stream pauses here."""
        self._position += len(self._rest)
        self._rest = self._rest[:0]
        self._run = 0
        if not self._speaking:
            return []
        self._speaking = False
        return [Edge(Activity.END, self._position)]

    def _frame(self, level_db: float) -> Edge | None:
        self._position += _FRAME
        loud = self._is_loud(level_db)
        self._floor_db = min(level_db, self._floor_db + _FLOOR_RISE_DB)
        self._run = self._run + 1 if loud is not self._speaking else 0
        needed = self._end_frames if self._speaking else self._start_frames
        if self._run < needed:
            return None
        at = self._position - self._run * _FRAME
        self._speaking = loud
        self._run = 0
        return Edge(Activity.START if loud else Activity.END, at)

    def _is_loud(self, level_db: float) -> bool:
        if self._speaking:
            return level_db > max(self._floor_db + _STAY_DB, _MIN_STAY_DB)
        return level_db > max(self._floor_db + _START_DB, _MIN_START_DB)


def _levels_db(frames: Pcm) -> list[float]:
    """Return the level of each row in dB relative to a full-scale square wave."""
    power = np.mean(np.square(frames.astype(np.float64) / 32768), axis=1)
    levels: list[float] = np.maximum(10 * np.log10(power + 1e-12), _QUIETEST_DB).tolist()
    return levels
