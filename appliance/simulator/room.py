"""Impulse responses of rooms: a direct path and a diffuse tail that decays. Pure, and the same for the same seed.

Source: Polack's statistical model of reverberation (1988); direct and diffuse sound are equally loud at the critical
distance, 0.057 * sqrt(V / RT60) (Kuttruff, Room Acoustics).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.units import UPLINK

SOUND_M_PER_S: Final = 343.0

Response = npt.NDArray[np.float64]
"""Amplitudes at 16 kHz, shape (taps,); a source at one metre in the open has one tap of 1."""


@dataclass(frozen=True, slots=True)
class Room:
    """A living room."""

    volume_m3: float = 40.0
    rt60_s: float = 0.45
    """Reverberation time: how long sound takes to decay by 60 dB."""

    def response(self, distance_m: float, seed: int) -> Response:
        """Return how the microphone hears a source at a distance; ``seed`` names the place in the room."""
        direct = UPLINK.frames(distance_m / SOUND_M_PER_S)
        taps = direct + UPLINK.frames(self.rt60_s)
        noise = np.random.default_rng(seed).standard_normal(taps)
        tail = noise * 10 ** (-3 * np.arange(taps) / UPLINK.rate_hz / self.rt60_s)
        tail[: direct + 1] = 0  # nothing is faster than the direct sound
        critical_m = 0.057 * np.sqrt(self.volume_m3 / self.rt60_s)
        tail *= 1 / critical_m / np.sqrt(np.sum(tail**2))
        tail[direct] = 1 / distance_m
        return tail


def heard(sound: npt.NDArray[np.floating], response: Response) -> npt.NDArray[np.float64]:
    """Return a sound as the microphone hears it, as long as the sound itself."""
    length = len(sound) + len(response)
    return np.fft.irfft(np.fft.rfft(sound, length) * np.fft.rfft(response, length), length)[: len(sound)]
