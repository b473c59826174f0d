"""The microphone's way through the echo canceller: aligns what was played with what was captured, and takes it away.

The reference is what the speaker has played, after every change of volume. Both cards say when; a measured delay and
the drift between their clocks say the rest. It has no thread and no sound card.
"""

import itertools
from collections import deque
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.echo.canceller import BLOCK, PARTITIONS, CancellerState, EchoCanceller
from appliance.audio.echo.delay import DelayEstimator
from appliance.audio.echo.reference import PlayedReference
from appliance.audio.echo.status import EchoStatus
from appliance.audio.echo.stream_clock import IN_A_ROW, StreamClock
from appliance.audio.echo.suppressor import Suppressor
from appliance.audio.ports import Block
from appliance.units import UPLINK, AudioFormat, Pcm, SampleIndex, Seconds

EARLY_S: Final = 0.01
"""Time by which the reference precedes its echo."""
ECHO_LEFT: Final = 0.1
"""Share of the echo's amplitude that the suppressor is given to find. Behind a canceller that keeps learning it sees an
echo path that never stays as it is, and lets some of it through: two dozen sounds like speech in a minute and a half of
replies with nothing left, none with this, and a person 12 dB below the echo is heard as often. Until the canceller has
converged it is given all, since it is the faster one to find it."""
_ECHO_LEFT_LESS: Final = 0.01
_ECHO_LEFT_MORE: Final = 0.05
"""Change of that share with each block, so that the suppressor sees no step."""
_SOUND: Final = 1e-6
"""Mean square of a reference that has an echo: -60 dBFS."""
_CAPACITY_S: Final = 4.0
_MAX_PERIODS: Final = 1000
"""Periods that were played and wait for the microphone; then the oldest is dropped, which the times show."""
_MAX_LOST_S: Final = 0.3
"""Longest loss that the canceller is led through; after a longer one, it begins anew with what it knows."""
_FIRST_SEARCH_S: Final = 0.25
_SEARCH_S: Final = {CancellerState.COLD: 1.0, CancellerState.BROKEN: 0.4, CancellerState.CONVERGED: 5.0}
"""Interval between two measurements of the delay: until it is known, and then."""
_SAME_S: Final = 0.001
"""Delays that differ by less belong to the same place in the room."""
_CENTRED_S: Final = (0.002, 0.03)
"""Lag of the echo behind the reference that is left alone while the echo is cancelled."""
_SLEW: Final = 0.02
"""Share of a difference of the position that is made up for in 10 ms, so that the filter never sees a step."""
_MAX_SLEW_S: Final = 0.002
_FULL_SCALE: Final = np.float32(32_768)
_NOTHING: Final = -2
"""Index of a sample that was not captured: never the one before an index."""

_Samples = npt.NDArray[np.float32]


class EchoPath:
    """`played` may be called on any thread, everything else on one."""

    def __init__(self, speaker: AudioFormat, suppressor: Suppressor | None = None) -> None:
        """``speaker`` is the layout of what is played, mono; without a suppressor, the linear part is all."""
        self._speaker = speaker
        self._suppressor = suppressor
        self._canceller = EchoCanceller()
        self._reference = PlayedReference(speaker, _CAPACITY_S)
        self._microphone_clock = StreamClock(UPLINK.rate_hz)
        self._speaker_clock = StreamClock(speaker.rate_hz)
        self._estimator = DelayEstimator()
        self._periods: deque[tuple[Pcm, Seconds]] = deque(maxlen=_MAX_PERIODS)
        self._newest: deque[_Samples] = deque(maxlen=IN_A_ROW - 1)
        """The newest periods in the reference."""
        self._position: float | None = None
        """Frame of the reference that the next samples begin with; None: to be found anew."""
        self._offset_s = 0.0
        """Delay of the speaker beyond the card's account, as the reference is placed."""
        self._lag_s: float | None = None
        """Lag of the echo behind the reference, measured: `EARLY_S` where the offset is right."""
        self._delay_s: Seconds | None = None
        self._echo_left = 1.0
        self._waiting: Pcm = np.zeros(0, np.int16)
        self._next = SampleIndex(0)
        """Index after the newest sample captured."""
        delay = suppressor.delay if suppressor else 0
        self._delayed_indices = np.full(delay, _NOTHING, np.int64)
        self._delayed_linear: Pcm = np.zeros(delay, np.int16)

    @property
    def status(self) -> EchoStatus:
        """State, and figures; any thread."""
        return EchoStatus(self._canceller.state, self._canceller.erle_db, self._delay_s, self._ppm)

    @property
    def _ppm(self) -> float:
        return self._speaker_clock.ppm - self._microphone_clock.ppm

    @property
    def held(self) -> int:
        """Samples captured and not returned yet: of an unfinished block, and in the suppressor."""
        return len(self._waiting) + int(np.count_nonzero(self._delayed_indices != _NOTHING))

    def played(self, samples: Pcm, audible_at: Seconds) -> None:
        """Take everything that is played, silence included, in order; never blocks.

        ``audible_at`` is when the first sample is heard.
        """
        self._periods.append((samples, audible_at))

    def captured(self, block: Block) -> list[Block]:
        """Return what is ready of the samples captured so far, in order, with their own indices and times."""
        self._take_played()
        ready = []
        if block.start != self._next:
            ready += self._lose(block.start)
        end = SampleIndex(block.start + len(block.samples))
        if self._microphone_clock.note(end, block.captured_at):
            self._canceller.doubt()
        samples = np.concatenate((self._waiting, block.samples))
        start, whole = end - len(samples), len(samples) // BLOCK * BLOCK
        self._waiting, self._next = samples[whole:], end
        if whole:
            ready.append(self._process(start, samples[:whole], np.arange(start, start + whole)))
        return _blocks(ready, end, block.captured_at)

    def _take_played(self) -> None:
        while self._periods:
            samples, audible_at = self._periods.popleft()
            jump_s = self._speaker_clock.note(self._reference.end, audible_at)
            if jump_s:
                self._canceller.doubt()
            if 0 < jump_s < _CAPACITY_S:
                self._insert_silence(self._speaker.frames(jump_s))
            frames = samples.astype(np.float32) / _FULL_SCALE
            self._reference.played(frames)
            self._newest.append(frames)

    def _insert_silence(self, missing: int) -> None:
        """Put in what the card played when it had nothing to play, before the periods that have shown it."""
        late = list(self._newest)
        self._reference.take_back(sum(map(len, late)))
        for frames in (np.zeros(missing, np.float32), *late):
            self._reference.played(frames)
        self._speaker_clock.insert(missing)

    def _lose(self, start: int) -> list["_Ready"]:
        """Lead the canceller through samples that never came, up to the one at ``start``."""
        ready = []
        if len(self._waiting):
            padded: Pcm = np.zeros(BLOCK, np.int16)
            padded[: len(self._waiting)] = self._waiting
            indices = np.full(BLOCK, _NOTHING, np.int64)
            indices[: len(self._waiting)] = np.arange(self._next - len(self._waiting), self._next)
            ready.append(self._process(self._next - len(self._waiting), padded, indices))
            self._waiting = self._waiting[:0]
        blocks = min(start - self._next, UPLINK.frames(_MAX_LOST_S)) // BLOCK
        self._position = None
        for at in range(start - blocks * BLOCK, start, BLOCK):
            reference = self._read(at, BLOCK)
            self._canceller.skip(reference)
            nothing = np.zeros(BLOCK, np.float32)
            ready.append(self._suppress(nothing, nothing, reference, np.full(BLOCK, _NOTHING, np.int64)))
        return ready

    def _process(self, start: int, samples: Pcm, indices: npt.NDArray[np.int64]) -> "_Ready":
        """Take whole blocks; return as many samples that leave the suppressor."""
        captured = samples.astype(np.float32) / _FULL_SCALE
        reference = self._read(start, len(samples))
        linear = np.empty_like(captured)
        for at in range(0, len(samples), BLOCK):
            piece = slice(at, at + BLOCK)
            linear[piece] = self._canceller.process(captured[piece], reference[piece])
            self._estimator.feed(captured[piece], reference[piece])
        interval_s = _FIRST_SEARCH_S if self._lag_s is None else _SEARCH_S[self._canceller.state]
        lag_s = self._estimator.search(interval_s)
        if lag_s is not None:
            self._align(lag_s, start + len(samples))
        self._adjust_echo_left(reference)
        return self._suppress(linear, linear + np.float32(self._echo_left) * (captured - linear), reference, indices)

    def _adjust_echo_left(self, reference: _Samples) -> None:
        blocks = len(reference) // BLOCK
        if self._canceller.state is not CancellerState.CONVERGED:
            self._echo_left = min(1.0, self._echo_left + blocks * _ECHO_LEFT_MORE)
        elif float(np.dot(reference, reference)) > len(reference) * _SOUND:
            self._echo_left = max(ECHO_LEFT, self._echo_left - blocks * _ECHO_LEFT_LESS)

    def _suppress(
        self, residual: _Samples, some_left: _Samples, reference: _Samples, indices: npt.NDArray[np.int64]
    ) -> "_Ready":
        """Return what leaves the suppressor, which is given the residual with some echo left."""
        linear, given, played = _pcm(np.array((residual, some_left, reference)))
        if self._suppressor is None:
            return indices, linear, linear
        clean = self._suppressor.process(given, played)
        late_indices = np.concatenate((self._delayed_indices, indices))
        late_linear = np.concatenate((self._delayed_linear, linear))
        self._delayed_indices, self._delayed_linear = late_indices[len(linear) :], late_linear[len(linear) :]
        return late_indices[: len(linear)], clean, late_linear[: len(linear)]

    # The reference

    def _place(self, start: int) -> float:
        """Return the frame of the reference that belongs to a sample of the microphone."""
        heard_at = self._microphone_clock.time_of(start) - self._offset_s + EARLY_S
        return self._speaker_clock.count_at(heard_at)

    def _read(self, start: int, count: int) -> _Samples:
        """Return the reference for the samples that follow those before."""
        wanted = self._place(start)
        if self._position is None or abs(wanted - self._position) > self._speaker.rate_hz * _MAX_SLEW_S:
            self._position = wanted
        else:
            self._position += _SLEW * count / BLOCK * (wanted - self._position)
        ppm = self._ppm
        reference = self._reference.read(self._position, ppm, count)
        self._position += self._speaker.rate_hz * UPLINK.duration(count) * (1 + ppm * 1e-6)
        return reference

    def _align(self, lag_s: Seconds, start: int) -> None:
        """Take a measured lag; move the reference where that is called for. ``start`` is the next sample."""
        state, known_s = self._canceller.state, self._lag_s
        if state is CancellerState.CONVERGED and known_s is not None:
            if abs(lag_s - known_s) > _SAME_S:
                return  # another echo: this one is cancelled
            if _CENTRED_S[0] < lag_s < _CENTRED_S[1]:
                self._note(lag_s)
                return
        if state is CancellerState.BROKEN and known_s is not None:
            if abs(lag_s - known_s) > _SAME_S:
                self._offset_s += lag_s - known_s  # everything is as it was, but later
                self._note(known_s)
                self._reread(start)
            return
        blocks = round((lag_s - EARLY_S) * UPLINK.rate_hz / BLOCK)
        self._offset_s += UPLINK.duration(blocks * BLOCK)
        self._note(lag_s - UPLINK.duration(blocks * BLOCK))
        if blocks:
            self._canceller.shift(blocks)
            self._reread(start)

    def _note(self, lag_s: float) -> None:
        self._lag_s = lag_s
        delay_s = Seconds(self._offset_s + lag_s - EARLY_S)
        if self._delay_s is None or abs(delay_s - self._delay_s) > _SAME_S:
            self._delay_s = delay_s

    def _reread(self, start: int) -> None:
        """Give the canceller the newest of the reference, which is another one now."""
        self._estimator.restart()
        self._canceller.doubt()
        self._position = None
        before = self._read(start - PARTITIONS * BLOCK, PARTITIONS * BLOCK)
        for at in range(0, len(before), BLOCK):
            self._canceller.skip(before[at : at + BLOCK])


_Ready = tuple[npt.NDArray[np.int64], Pcm, Pcm]
"""Indices, clean and linear samples that leave the suppressor."""


def _pcm(samples: _Samples) -> Pcm:
    """Return the samples as integers; overwrites them."""
    samples *= _FULL_SCALE
    np.rint(samples, out=samples)
    np.minimum(np.maximum(samples, -_FULL_SCALE, out=samples), _FULL_SCALE - 1, out=samples)
    return samples.astype(np.int16)


def _blocks(ready: list[_Ready], end: int, captured_at: Seconds) -> list[Block]:
    """Return the blocks that consecutive samples make; the sample before ``end`` was captured at ``captured_at``."""
    if not ready:
        return []
    indices, clean, linear = ready[0] if len(ready) == 1 else map(np.concatenate, zip(*ready, strict=True))
    breaks = np.flatnonzero(indices[1:] - indices[:-1] != 1) + 1
    blocks = []
    for start, stop in itertools.pairwise([0, *breaks.tolist(), len(indices)]):
        first = int(indices[start])
        if first != _NOTHING:
            at = Seconds(captured_at - UPLINK.duration(end - first - (stop - start)))
            blocks.append(Block(SampleIndex(first), clean[start:stop], at, linear[start:stop]))
    return blocks
