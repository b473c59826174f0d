"""Where the echo of a reply ends in the microphone's samples. Loop thread only.

A speaker may be later than its driver says: a television, Bluetooth. The end of a reply then reaches the microphone
when the person already has the word, and would be taken for their next question. How late it is can be measured: the
microphone has heard the rest of the reply, and what was played is known.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.echo.correlation import Echo, find_echo
from appliance.audio.echo.onset import has_sound, speech_onset
from appliance.audio.ports import Block
from appliance.units import REPLY, UPLINK, Pcm, SampleIndex, Seconds

LONGEST_S: Final = 1.0
"""A later echo is not expected."""
REVERBERATION_S: Final = 0.25
"""An echo dies away in the room for this long, as far as it could be taken for speech."""
LATEST_S: Final = 4.0
"""For an echo that is later still, only what sounds like one is looked for, and only where it matters."""
WINDOW_S: Final = 3.0
"""The most of a reply's end that is compared."""
ENOUGH_S: Final = 1.0
"""A reply that has been heard for so long and has no echo yet has none."""
ONSET_S: Final = 0.08
"""Speech begins so much before it is loud."""
_RETRY_S: Final = 0.25
_KEPT_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class _Judgement:
    """The echo of the audio played from ``begin`` to ``silent_at``, and when it is over."""

    begin: Seconds
    silent_at: Seconds
    clean_at: Seconds
    echo: Echo | None = None


class EchoGuard:
    """Knows what was played and what was captured lately; `clean_from` is what `uplink.Uplink` asks."""

    def __init__(self, ring: MicrophoneBuffer) -> None:
        self._ring = ring
        self._captured_at: tuple[SampleIndex, Seconds] | None = None
        """The end of the newest block, and when it was captured."""
        self._played: deque[tuple[Seconds, Pcm]] = deque()
        """Audio played in the last `_KEPT_S`, with the moment from which each piece is heard."""
        self._silent_at: Seconds | None = None
        """When the newest sample that was played has been heard, as far as the card knows; None before the first."""
        self._judged: _Judgement | None = None
        self._since: SampleIndex | None = None
        """Where the microphone has opened behind the newest reply."""
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

    def played(self, audible_at: Seconds, samples: Pcm) -> None:
        """Note what is heard, 24 kHz mono, from this moment on; in order."""
        self._played.append((audible_at, samples))
        self._silent_at = Seconds(audible_at + REPLY.duration(len(samples)))
        while self._played[0][0] < self._silent_at - _KEPT_S:
            self._played.popleft()

    def clean_from(self) -> SampleIndex | None:
        """Return the sample from which on the microphone has something else than the echo of a reply.

        None while that is not known, or not captured yet; 0 where there is no echo to skip. A person who speaks
        over the end of an echo, and is louder, is not cut short.
        """
        if self._captured_at is None or self._silent_at is None:
            return SampleIndex(0)
        index, now = self._captured_at
        if now - self._silent_at > LONGEST_S + REVERBERATION_S:
            return SampleIndex(0)
        if self._judged is None or self._judged.silent_at != self._silent_at:
            self._judged = self._judge(index, now, self._silent_at) if now >= self._retry_at else None
        if self._judged is None or self._judged.clean_at > now:
            return None
        clean_at = self._onset(self._judged, index, now)
        self._since = SampleIndex(max(0, index - UPLINK.frames(now - clean_at)))
        return SampleIndex(0) if self._judged.echo is None else self._since

    def person_spoke(self) -> bool:
        """Return whether a person has spoken since the microphone opened behind the newest reply.

        Not so if there was no sound, or if it was the reply itself, later than `clean_from` can know. True where the
        microphone has not opened behind a reply.
        """
        if self._captured_at is None or self._silent_at is None or self._since is None:
            return True
        index, now = self._captured_at
        since = min(index, max(self._since, self._ring.begin))
        heard = self._ring.read(SampleIndex(since), index)
        if not has_sound(heard):
            return False
        begin = Seconds(max(self._silent_at - WINDOW_S, self._played[0][0]))
        before: Pcm = np.zeros(max(0, UPLINK.frames(now - begin) - len(heard)), np.int16)
        captured = np.concatenate((before, heard[: UPLINK.frames(LATEST_S)]))
        return find_echo(captured, self._sounded(begin, self._silent_at), LATEST_S) is None

    def _judge(self, index: SampleIndex, now: Seconds, silent_at: Seconds) -> _Judgement | None:
        """Return where the echo ends; None if it is too early to say."""
        self._retry_at = Seconds(now + _RETRY_S)
        begin = Seconds(max(silent_at - WINDOW_S, self._played[0][0]))
        if now <= begin:
            return None  # cut off before the microphone could hear it
        echo = find_echo(self._heard(index, now, begin), self._sounded(begin, silent_at), LONGEST_S)
        if echo is not None:
            return _Judgement(begin, silent_at, Seconds(silent_at + echo.delay_s + REVERBERATION_S), echo)
        has_none = now - begin >= ENOUGH_S + LONGEST_S or now - silent_at >= LONGEST_S
        return _Judgement(begin, silent_at, silent_at) if has_none else None

    def _onset(self, judged: _Judgement, index: SampleIndex, now: Seconds) -> Seconds:
        """Return when a person begins to speak over the end of the echo, or when that is over."""
        if judged.echo is None:
            return judged.clean_at
        begin, silent_at = judged.begin, judged.silent_at
        heard, sounded = self._heard(index, now, begin), self._sounded(begin, silent_at)
        onset_s = speech_onset(heard, sounded, judged.echo, silent_at - begin)
        early_at = judged.clean_at if onset_s is None else begin + onset_s - ONSET_S
        return Seconds(min(judged.clean_at, max(silent_at, early_at)))

    def _heard(self, stop: SampleIndex, now: Seconds, begin: Seconds) -> Pcm:
        """Return what the microphone has captured from a moment on; zeros for what is no longer kept."""
        start = stop - UPLINK.frames(now - begin)
        kept = min(max(start, self._ring.begin), stop)
        missing: Pcm = np.zeros(kept - start, np.int16)
        return np.concatenate((missing, self._ring.read(SampleIndex(kept), stop)))

    def _sounded(self, begin: Seconds, end: Seconds) -> Pcm:
        """Return what was played between two moments, pauses included."""
        sounded: Pcm = np.zeros(REPLY.frames(end - begin), np.int16)
        for audible_at, samples in self._played:
            at = REPLY.frames(audible_at - begin)
            head = samples[max(0, -at) :]
            at = max(0, at)
            piece = sounded[at : at + len(head)]
            piece[:] = head[: len(piece)]
        return sounded
