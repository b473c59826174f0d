"""The linear part of an echo at the microphone, taken away: a partitioned-block frequency-domain Kalman filter.

Source: Kuech, Mabande, Enzner, "State-space architecture of the partitioned-block-based acoustic echo controller",
ICASSP 2014. The filter learns the room from what is played while nobody speaks, and hardly changes while somebody does:
the step of each frequency follows from how much of it the echo explains. Pure; one thread.
"""

from enum import Enum
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.units import UPLINK

BLOCK: Final = UPLINK.frames(0.01)
TAIL_S: Final = 0.2
"""Time from the first of the reference to the last of its echo."""
CONVERGED_DB: Final = 6.0
"""Echo return loss enhancement from which the output is fit to listen to."""
_PARTITIONS: Final = UPLINK.frames(TAIL_S) // BLOCK
_TRANSITION: Final = 0.999
"""Share of the room that stays as it is from one block to the next (A in the paper)."""
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
        self._references = np.zeros((_PARTITIONS, bins), np.complex128)
        self._filter = np.zeros((_PARTITIONS, bins), np.complex128)
        later_db = _DECAY_DB_PER_S * UPLINK.duration(BLOCK) * np.arange(_PARTITIONS)
        self._uncertainty = np.repeat(_EXPECTED * 10 ** (-later_db[:, None] / 10), bins, axis=1)
        self._unexplained = np.full(bins, 1e-3)
        self._reference: npt.NDArray[np.floating] = np.zeros(2 * BLOCK)
        self._captured_power = self._residual_power = 0.0
        self._has_converged = False

    @property
    def erle_db(self) -> float:
        """Echo return loss enhancement of the last half second in which something was played; 0 before."""
        if not self._captured_power:
            return 0.0
        return float(10 * np.log10(self._captured_power / max(self._residual_power, 1e-12)))

    @property
    def state(self) -> CancellerState:
        """Progress of the cancellation."""
        if self.erle_db >= CONVERGED_DB:
            return CancellerState.CONVERGED
        return CancellerState.BROKEN if self._has_converged else CancellerState.COLD

    def process(self, captured: Block, reference: Block) -> Block:
        """Return what was captured without the echo of the reference.

        ``reference`` is what was played, earlier than its echo by less than `TAIL_S`; zeros where nothing was.
        """
        self.skip(reference)
        if np.mean(self._reference**2) < _SILENCE and np.abs(self._references).max() < 1.0:
            return captured
        echo = np.fft.irfft((self._references * self._filter).sum(axis=0))[BLOCK:]
        residual = captured - echo
        if not np.isfinite(residual).all():
            self.reset()
            return np.nan_to_num(captured)
        self._adapt(residual)
        self._measure(captured, residual)
        return residual.astype(np.float32)

    def skip(self, reference: Block) -> None:
        """Take a reference whose echo was not captured."""
        self._reference = np.concatenate((self._reference[BLOCK:], reference))
        self._references[1:] = self._references[:-1]
        self._references[0] = np.fft.rfft(self._reference)

    def shift(self, blocks: int) -> None:
        """Go on with a reference that is so many blocks later than before; its echo follows so much sooner."""
        places = np.arange(_PARTITIONS) + blocks
        inside = (places >= 0) & (places < _PARTITIONS)
        moved = np.zeros_like(self._filter)
        moved[inside] = self._filter[places[inside]]
        self._filter = moved

    def _adapt(self, residual: npt.NDArray[np.floating]) -> None:
        error = np.fft.rfft(np.concatenate((np.zeros(BLOCK), residual)))
        powers = np.abs(self._references) ** 2
        self._unexplained += (1 - _NOISE) * (np.abs(error) ** 2 - self._unexplained)
        expected = 0.5 * (powers * self._uncertainty).sum(axis=0) + self._unexplained + 1e-9
        step = self._uncertainty / expected
        step[:, :_LOWEST_BIN] = 0
        change = np.fft.irfft(step * self._references.conj() * error)
        change[:, BLOCK:] = 0  # a partition has no more taps than a block has samples
        self._filter += np.fft.rfft(change)
        self._filter *= _TRANSITION
        self._uncertainty *= _TRANSITION**2 * (1 - 0.5 * step * powers)
        self._uncertainty += (1 - _TRANSITION**2) * np.abs(self._filter) ** 2

    def _measure(self, captured: Block, residual: npt.NDArray[np.floating]) -> None:
        self._captured_power += (1 - _LEVEL) * (float(np.mean(captured**2)) - self._captured_power)
        self._residual_power += (1 - _LEVEL) * (float(np.mean(residual**2)) - self._residual_power)
        self._has_converged = self._has_converged or self.erle_db >= CONVERGED_DB
