"""Impulse responses of rooms: a direct path and a diffuse tail that decays. Pure, and the same for the same seed.

Source: Polack's statistical model of reverberation (1988); direct and diffuse sound are equally loud at the critical
distance, 0.057 * sqrt(Q * V / RT60) (Kuttruff, Room Acoustics); Q of a person who faces the microphone is about 2.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.units import UPLINK

SOUND_M_PER_S: Final = 343.0
BLOCK: Final = UPLINK.frames(0.01)

Sound = npt.NDArray[np.floating]
"""Mono samples between -1 and 1."""
Response = npt.NDArray[np.float64]
"""Amplitudes at 16 kHz, shape (taps,); a source at one metre in the open has one tap of 1."""


@dataclass(frozen=True, slots=True)
class Acoustics:
    """Size and reverberation of a room; by default, of a living room."""

    volume_m3: float = 50.0
    directivity: float = 2.0
    """Directivity of the sources: ratio of the power that they send towards the microphone to the average."""
    rt60_s: float = 0.45
    """Reverberation time: how long sound takes to decay by 60 dB."""

    def response(self, distance_m: float, seed: int) -> Response:
        """Return how the microphone hears a source at a distance; ``seed`` names the place in the room."""
        direct = UPLINK.frames(distance_m / SOUND_M_PER_S)
        taps = direct + UPLINK.frames(self.rt60_s)
        noise = np.random.default_rng(seed).standard_normal(taps)
        tail = noise * 10 ** (-3 * np.arange(taps) / UPLINK.rate_hz / self.rt60_s)
        tail[: direct + 1] = 0  # nothing is faster than the direct sound
        critical_m = 0.057 * np.sqrt(self.directivity * self.volume_m3 / self.rt60_s)
        tail *= 1 / critical_m / np.sqrt(np.sum(tail**2))
        tail[direct] = 1 / distance_m
        return tail


def heard(sound: Sound, response: Response) -> npt.NDArray[np.float64]:
    """Return a sound as the microphone hears it, as long as the sound itself."""
    length = len(sound) + len(response)
    return np.fft.irfft(np.fft.rfft(sound, length) * np.fft.rfft(response, length), length)[: len(sound)]


class Reverberation:
    """`heard`, `BLOCK` samples at a time: partitioned convolution, without delay."""

    def __init__(self, response: Response) -> None:
        partitions = -(-len(response) // BLOCK)
        taps = np.zeros(partitions * BLOCK)
        taps[: len(response)] = response
        filters = np.fft.rfft(taps.reshape(partitions, BLOCK), 2 * BLOCK)
        self._filters = np.concatenate((filters, filters))
        self._inputs = np.zeros((partitions, BLOCK + 1), np.complex128)
        self._newest = 0
        self._last = np.zeros(BLOCK)

    def feed(self, block: Sound) -> npt.NDArray[np.float64]:
        """Return the next block as it is heard."""
        count = len(self._inputs)
        self._newest = (self._newest + 1) % count
        self._inputs[self._newest] = np.fft.rfft(np.concatenate((self._last, block)))
        self._last = np.array(block, np.float64)
        # Row r holds the block of (newest - r) blocks ago, and meets the filter's partition of that age.
        filters = self._filters[::-1][count - 1 - self._newest : 2 * count - 1 - self._newest]
        return np.fft.irfft(np.einsum("pk,pk->k", self._inputs, filters))[BLOCK:]
