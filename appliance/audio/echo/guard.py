"""Finds where the echo of a reply ends in the microphone's samples. Loop thread only.

A speaker may be later than its driver says: a television, Bluetooth. The end of a reply then reaches the microphone
when it is the person's turn, and would be taken for their next question. The delay can be measured: the microphone has
captured the rest of the reply, and what was played is known. A canceller measures it too, and leaves so little of an
echo that it cannot be found here; for its tail, the delay counts all the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

import numpy as np

from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.echo.correlation import Echo, find_echo
from appliance.audio.echo.onset import has_sound, speech_onset
from appliance.audio.echo.recently_played import RecentlyPlayed
from appliance.audio.ports import Block
from appliance.units import UPLINK, Pcm, SampleIndex, Seconds

LONGEST_S: Final = 1.0
"""Longest delay of an echo that is measured."""
REVERBERATION_S: Final = 0.25
"""Time for which an echo lingers in the room loudly enough to be taken for speech."""
LATEST_S: Final = 4.0
"""Longest delay that `EchoGuard.person_spoke` looks for."""
WINDOW_S: Final = 3.0
"""Length of a reply's end that is compared, at most."""
ENOUGH_S: Final = 1.0
"""A reply that was heard for this long without an echo has none."""
ONSET_S: Final = 0.08
"""Speech begins this long before it is loud."""
SUPPRESSED_ONSET_S: Final = 0.25
"""The same behind a canceller, whose suppressor holds speech down at first, and lets little else through."""
_RETRY_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class _Estimate:
    """Echo of the audio played from ``begin`` to ``silent_at``, and the end of it."""

    begin: Seconds
    silent_at: Seconds
    clean_at: Seconds
    echo: Echo | None = None


class EchoGuard:
    """Compares what was played with what was captured; the uplink asks `clean_from`."""

    def __init__(self, buffer: MicrophoneBuffer, measured: Callable[[], Seconds | None] = lambda: None) -> None:
        """``measured`` returns the delay that a canceller has found; None where there is none, or not yet."""
        self._buffer = buffer
        self._measured = measured
        self.recent = RecentlyPlayed()
        """The audio that was played."""
        self._captured_at: tuple[SampleIndex, Seconds] | None = None
        """The end of the newest block, and when it was captured."""
        self._estimate: _Estimate | None = None
        self._opened_at = SampleIndex(0)
        """Sample at which the microphone opened after a reply; it need not close during one."""
        self._retry_at = Seconds(0.0)

    def captured(self, block: Block) -> None:
        """Note when a block was captured."""
        self._captured_at = (SampleIndex(block.start + len(block.samples)), block.captured_at)

    def captured_at(self, index: SampleIndex) -> Seconds | None:
        """Return when a sample was captured; None before the first block."""
        if self._captured_at is None:
            return None
        newest, now = self._captured_at
        return Seconds(now - UPLINK.duration(newest - index))

    def clean_from(self) -> SampleIndex | None:
        """Return the first sample after the echo of a reply.

        None while that is unknown or not captured yet; 0 where there is no echo to skip. A person who speaks over the
        end of an echo, and is louder, is not cut off.
        """
        if self._captured_at is None or self.recent.end is None:
            return SampleIndex(0)
        index, now = self._captured_at
        if now - self.recent.end > LONGEST_S + REVERBERATION_S:
            return SampleIndex(0)
        if self._estimate is None or self._estimate.silent_at != self.recent.end:
            self._estimate = self._measure(index, now, self.recent.end) if now >= self._retry_at else None
        if self._estimate is None or self._estimate.clean_at > now:
            return None
        clean_at = self._onset(self._estimate, index, now)
        self._opened_at = SampleIndex(max(0, index - UPLINK.frames(now - clean_at)))
        return SampleIndex(0) if self._estimate.echo is None else self._opened_at

    def person_spoke(self) -> bool:
        """Return whether a person has spoken since the newest reply, or since the microphone opened after it.

        False if there was no sound, or if it was the reply itself, later than `clean_from` can measure. True before the
        first reply.
        """
        if self._captured_at is None or self.recent.end is None:
            return True
        index, now = self._captured_at
        ended = index - UPLINK.frames(now - self.recent.end)
        since = min(index, max(self._opened_at, ended, self._buffer.begin))
        newest = self._buffer.read(SampleIndex(since), index)
        if not has_sound(newest):
            return False
        begin = self._begin(self.recent.end)
        before: Pcm = np.zeros(max(0, UPLINK.frames(now - begin) - len(newest)), np.int16)
        captured = np.concatenate((before, newest[: UPLINK.frames(LATEST_S)]))
        return find_echo(captured, self.recent.between(begin, self.recent.end), LATEST_S) is None

    def _measure(self, index: SampleIndex, now: Seconds, silent_at: Seconds) -> _Estimate | None:
        """Return where the echo ends; None if it is too early to know."""
        self._retry_at = Seconds(now + _RETRY_S)
        begin = self._begin(silent_at)
        if now <= begin:
            return None  # flushed before the microphone could capture it
        echo = find_echo(self._captured_since(index, now, begin), self.recent.between(begin, silent_at), LONGEST_S)
        measured_s = self._measured()
        if measured_s is not None and (echo is None or echo.delay_s < measured_s):
            echo = Echo(measured_s, clarity=inf)  # known, though not found
        if echo is not None:
            return _Estimate(begin, silent_at, Seconds(silent_at + echo.delay_s + REVERBERATION_S), echo)
        has_none = now - begin >= ENOUGH_S + LONGEST_S or now - silent_at >= LONGEST_S
        return _Estimate(begin, silent_at, silent_at) if has_none else None

    def _onset(self, estimate: _Estimate, index: SampleIndex, now: Seconds) -> Seconds:
        """Return when a person begins to speak over the end of the echo, or when that is over."""
        if estimate.echo is None:
            return estimate.clean_at
        begin, silent_at = estimate.begin, estimate.silent_at
        captured, played = self._captured_since(index, now, begin), self.recent.between(begin, silent_at)
        onset_s = speech_onset(captured, played, estimate.echo, silent_at - begin)
        before_s = ONSET_S if isfinite(estimate.echo.clarity) else SUPPRESSED_ONSET_S
        early_at = estimate.clean_at if onset_s is None else begin + onset_s - before_s
        return Seconds(min(estimate.clean_at, max(silent_at, early_at)))

    def _captured_since(self, stop: SampleIndex, now: Seconds, begin: Seconds) -> Pcm:
        """Return the microphone's samples from ``begin`` on; zeros for those no longer kept."""
        start = stop - UPLINK.frames(now - begin)
        kept = min(max(start, self._buffer.begin), stop)
        missing: Pcm = np.zeros(kept - start, np.int16)
        return np.concatenate((missing, self._buffer.read(SampleIndex(kept), stop)))

    def _begin(self, silent_at: Seconds) -> Seconds:
        """Return when what is compared began: the end of the newest reply, and nothing of those before it."""
        return Seconds(max(silent_at - WINDOW_S, self.recent.begin or silent_at))
