"""The linear part of an echo at the microphone, taken away: a partitioned-block frequency-domain Kalman filter.

Source: Kuech, Mabande, Enzner, "State-space architecture of the partitioned-block-based acoustic echo controller",
ICASSP 2014. The filter learns the room from what is played while nobody speaks, and hardly changes while somebody does:
the step of each frequency follows from how much of it the echo explains. Pure; one thread.
"""

from enum import Enum
from math import isfinite, log10
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.units import UPLINK

BLOCK: Final = UPLINK.frames(0.01)
TAIL_S: Final = 0.2
"""Time from the first of the reference to the last of its echo."""
CONVERGED_DB: Final = 6.0
"""Echo return loss enhancement from which the output is fit to listen to."""
PARTITIONS: Final = UPLINK.frames(TAIL_S) // BLOCK
_TRANSITION_BLOCKS: Final = 4
_TRANSITION: Final = 0.996
"""Share of the room that stays as it is over so many blocks (A in the paper)."""
_EXPECTED: Final = 0.3
"""Power of the echo path's beginning, before anything is known of it."""
_DECAY_DB_PER_S: Final = 100.0
"""Fall of that power with time: a room with a reverberation time of 0.6 s."""
_NOISE: Final = 0.9
"""Smoothing of the spectrum that the echo does not explain."""
_LOWEST_BIN: Final = 2
"""100 Hz: below, speakers play nothing and microphones hear hum."""
_SILENCE: Final = 1e-7
"""Mean square of a reference that teaches nothing: -70 dBFS."""
_TURNS: Final = 5
"""Blocks in which each partition gets its turn to be constrained."""
MEASURED_BLOCKS: Final = 150
"""Blocks with an echo after which the figures count. A chime is shorter: to take away its few tones is no proof that
speech will be. The suppressor behind has settled, too, after so many."""
_INAUDIBLE: Final = 1e-6
"""Mean square of a residual with no echo to speak of: -60 dBFS."""
_MOVED: Final = 0.8
"""Ratio of what the captured and the estimated echo have in common to the estimate, below which the echo has moved."""
_TINY: Final = np.float32(1e-9)
_LEVEL: Final = 0.98
"""Smoothing of the powers that the echo return loss enhancement is measured with: half a second."""

Block = npt.NDArray[np.float32]
"""Mono samples between -1 and 1, shape (`BLOCK`,)."""


class CancellerState(Enum):
    """Progress of the cancellation."""

    COLD = "cold"
    """The filter has not learnt the room yet."""
    CONVERGED = "converged"
    BROKEN = "broken"
    """It had learnt the room, and the echo is back: something has moved, or samples were lost."""


class EchoCanceller:
    """Takes 10 ms of microphone and reference at a time; adds no delay."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the room."""
        bins = BLOCK + 1
        # Single precision: twice as fast, and what it rounds off is below the noise of any microphone.
        self._references = np.zeros((PARTITIONS, bins), np.complex64)
        self._powers = np.zeros((PARTITIONS, bins), np.float32)
        self._filter = np.zeros((PARTITIONS, bins), np.complex64)
        self._uncertainty = _uncertainty()
        self._unexplained = np.full(bins, 1e-3, np.float32)
        self._reference = np.zeros(2 * BLOCK, np.float32)
        self._error = np.zeros(2 * BLOCK, np.float32)
        self._adapted = 0
        self._has_converged = self._is_converged = False
        self.doubt()

    def doubt(self) -> None:
        """Measure anew: samples were lost, or the reference is another one. What was learnt is kept."""
        self._is_converged = False
        self._measured = 0
        self._captured_power = self._residual_power = self._echo_power = self._common_power = 0.0

    @property
    def erle_db(self) -> float:
        """Echo return loss enhancement of the last half second in which something was played; 0 before."""
        return 10 * log10((self._captured_power + _TINY) / (self._residual_power + _TINY))

    @property
    def state(self) -> CancellerState:
        """Progress of the cancellation; a person who speaks over the echo does not change it."""
        if self._is_converged:
            return CancellerState.CONVERGED
        return CancellerState.BROKEN if self._has_converged else CancellerState.COLD

    def process(self, captured: Block, reference: Block) -> Block:
        """Return what was captured without the echo of the reference.

        ``reference`` is what was played, earlier than its echo by less than `TAIL_S`; zeros where nothing was.
        """
        self.skip(reference)
        if np.dot(self._reference, self._reference) < 2 * BLOCK * _SILENCE and self._powers.max() < 1.0:
            return captured
        by_partition = self._references * self._filter
        echo = np.fft.irfft(by_partition.view(np.float32).sum(axis=0).view(np.complex64))[BLOCK:]
        residual = (captured - echo).astype(np.float32)
        power = float(np.dot(residual, residual))
        if not isfinite(power):
            self.reset()
            return np.nan_to_num(captured)
        self._adapt(residual)
        self._measure(captured, echo.astype(np.float32), power)
        return residual

    def skip(self, reference: Block) -> None:
        """Take a reference whose echo was not captured."""
        self._reference[:BLOCK] = self._reference[BLOCK:]
        self._reference[BLOCK:] = reference
        self._references[1:] = self._references[:-1]
        self._powers[1:] = self._powers[:-1]
        newest = np.fft.rfft(self._reference)
        self._references[0] = newest
        self._powers[0] = newest.real**2 + newest.imag**2

    def shift(self, blocks: int) -> None:
        """Go on with a reference that is ``blocks`` later than before; its echo follows sooner by as much.

        The caller then gives the newest `PARTITIONS` blocks of that reference to `skip`.
        """
        kept = slice(max(0, -blocks), max(0, PARTITIONS - max(0, blocks)))
        from_there = slice(max(0, blocks), max(0, PARTITIONS + min(0, blocks)))
        learnt, uncertainty = self._filter, self._uncertainty
        self._filter, self._uncertainty = np.zeros_like(learnt), _uncertainty()
        self._filter[kept] = learnt[from_there]
        self._uncertainty[kept] = uncertainty[from_there]

    def _adapt(self, residual: Block) -> None:
        self._error[BLOCK:] = residual
        error = np.fft.rfft(self._error).astype(np.complex64)
        self._unexplained += (1 - _NOISE) * (error.real**2 + error.imag**2 - self._unexplained)
        expected = (self._powers * self._uncertainty).sum(axis=0) * np.float32(0.5) + self._unexplained + _TINY
        step = self._uncertainty / expected
        step[:, :_LOWEST_BIN] = 0
        change = self._references.conj()
        change *= error
        change *= step
        self._filter += change
        self._constrain(self._adapted % _TURNS)
        step *= self._powers
        step *= np.float32(-0.5)
        step += np.float32(1)
        self._uncertainty *= step
        self._adapted += 1
        if self._adapted % _TRANSITION_BLOCKS == 0:
            self._filter *= np.float32(_TRANSITION)
            self._uncertainty *= np.float32(_TRANSITION**2)
            self._uncertainty += np.float32(1 - _TRANSITION**2) * (self._filter.real**2 + self._filter.imag**2)

    def _constrain(self, turn: int) -> None:
        """Have some partitions keep no more taps than a block has samples; all in turns is as good, and cheaper."""
        some = self._filter[turn::_TURNS]
        taps = np.fft.irfft(some)
        taps[:, BLOCK:] = 0
        some[:] = np.fft.rfft(taps)

    def _measure(self, captured: Block, echo: Block, residual_power: float) -> None:
        """Note how well it goes.

        A voice over the echo is in the residual, and leaves the ratio of the estimated echo to the captured one near 1;
        an echo that has moved does not.
        """
        share = max(1 - _LEVEL, 1 / (self._measured + 1))
        self._measured += 1
        self._captured_power += share * (float(np.dot(captured, captured)) - self._captured_power)
        self._residual_power += share * (residual_power - self._residual_power)
        self._echo_power += share * (float(np.dot(echo, echo)) - self._echo_power)
        self._common_power += share * (float(np.dot(captured, echo)) - self._common_power)
        if self._measured < MEASURED_BLOCKS:
            return
        if self.erle_db >= CONVERGED_DB or self._residual_power < BLOCK * _INAUDIBLE:
            self._is_converged = self._has_converged = True
        elif self._common_power < _MOVED * self._echo_power:
            self._is_converged = False


def _uncertainty() -> npt.NDArray[np.float32]:
    """Return the power of an echo path that nothing is known of, for each partition and frequency."""
    later_db = _DECAY_DB_PER_S * UPLINK.duration(BLOCK) * np.arange(PARTITIONS)
    expected = _EXPECTED * 10 ** (-later_db[:, np.newaxis] / 10)
    return np.repeat(expected, BLOCK + 1, axis=1).astype(np.float32)
