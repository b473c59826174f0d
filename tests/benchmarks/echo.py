"""The echo canceller's linear part in a simulated room, with the speech that the simulator answers with.

The speaker's clock runs 100 ppm fast, and that is known to within 5 %, as a measurement of it would be.
"""

import time
import wave
from collections.abc import Callable
from importlib.resources import files
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.echo.canceller import BLOCK, EchoCanceller
from appliance.audio.echo.reference import PlayedReference
from appliance.audio.resample import Resampler
from appliance.simulator.room.acoustics import Acoustics, heard
from appliance.units import REPLY, UPLINK, AudioFormat, Hz
from tests.benchmarks.figures import Figure

PPM: Final = 100.0
MEASURED_PPM: Final = 95.0
DELAY_S: Final = 0.12
EARLY_S: Final = 0.03
"""The reference is given so much before its echo."""
JUMP_S: Final = 0.06
JUMPS_AT_S: Final = 20.0
RECOVERED_DB: Final = 10.0
ECHO: Final = 0.15
NOISE: Final = 10 ** (-70 / 20)
FULL_SCALE: Final = 32768

Sound = npt.NDArray[np.floating]


def measure(progress: Callable[[str], None]) -> list[Figure]:
    """Cancel two echoes; takes about ten seconds."""
    progress("drift")
    captured, left, cpu_ms = _cancel(jump=False)
    progress("a jump")
    jumped, after_jump, _ = _cancel(jump=True)
    return [
        Figure("linear_erle_db_at_100ppm", _erle_db(captured, left, 5.0, 30.0), "dB", ">= 15"),
        Figure("recovery_s_after_60ms_jump", _recovery_s(jumped, after_jump), "s", "<= 5"),
        Figure("linear_cpu_ms_per_10ms", cpu_ms, "ms"),
    ]


def _speech() -> Sound:
    """Return half a minute of it, -20 dBFS, 24 kHz."""
    replies = []
    for file in sorted(files("appliance.simulator").joinpath("voice").iterdir(), key=lambda file: file.name):
        with file.open("rb") as opened, wave.open(opened) as wav:
            replies.append(np.frombuffer(wav.readframes(wav.getnframes()), np.int16) / FULL_SCALE)
    speech = np.concatenate(replies * 2)
    limited: Sound = np.clip(0.1 * speech / np.sqrt(np.mean(speech**2)), -0.7, 0.7)
    return limited


def _cancel(*, jump: bool) -> tuple[Sound, Sound, float]:
    """Return what the microphone hears, what is left of it, and the processor time for 10 ms of it."""
    speech = _speech()
    # A speaker that is fast plays the same frames in less time.
    fast = Resampler(AudioFormat(Hz(round(REPLY.rate_hz * 1e3 * (1 + PPM * 1e-6)))), Hz(round(UPLINK.rate_hz * 1e3)))
    whole = np.concatenate((fast.feed(np.rint(speech * FULL_SCALE).astype(np.int16)), fast.finish())) / FULL_SCALE
    captured = ECHO * heard(
        np.concatenate((np.zeros(UPLINK.frames(DELAY_S)), whole)), Acoustics().response(0.3, seed=3)
    )
    captured += NOISE * np.random.default_rng(1).standard_normal(len(captured))
    if jump:
        at = UPLINK.frames(JUMPS_AT_S)
        captured = np.concatenate((captured[:at], captured[at - UPLINK.frames(JUMP_S) :]))
    reference, canceller, left = PlayedReference(REPLY, 2.0), EchoCanceller(), []
    reference.played(speech.astype(np.float32)[: REPLY.frames(1.0)])
    step = REPLY.rate_hz / UPLINK.rate_hz * (1 + MEASURED_PPM * 1e-6)
    begun = time.process_time()
    for at in range(0, len(captured) - BLOCK + 1, BLOCK):
        reference.played(speech[reference.end : reference.end + REPLY.frames(0.01)].astype(np.float32))
        position = at * step - REPLY.frames(DELAY_S - EARLY_S)
        block = captured[at : at + BLOCK].astype(np.float32)
        left.append(canceller.process(block, reference.read(position, MEASURED_PPM)))
    cpu_ms = (time.process_time() - begun) / len(left) * 1000
    return captured, np.concatenate(left), cpu_ms


def _erle_db(captured: Sound, left: Sound, begin_s: float, end_s: float) -> float:
    piece = slice(UPLINK.frames(begin_s), UPLINK.frames(end_s))
    return float(10 * np.log10(np.mean(captured[piece] ** 2) / np.mean(left[piece] ** 2)))


def _recovery_s(captured: Sound, left: Sound) -> float:
    """Return how long after the jump a second begins in which the echo is `RECOVERED_DB` weaker again."""
    for tenths in range(round((30.0 - JUMPS_AT_S) * 10)):
        begin_s = JUMPS_AT_S + tenths / 10
        if _erle_db(captured, left, begin_s, begin_s + 1.0) >= RECOVERED_DB:
            return tenths / 10
    return float("inf")
