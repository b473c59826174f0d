"""The echo path in a simulated room, with the speech that the simulator answers with.

The speaker's clock runs 100 ppm fast, and both cards tell the time with a jitter of 0.1 ms.
"""

import wave
from collections.abc import Callable
from importlib.resources import files
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.echo.path import EchoPath
from appliance.audio.ports import Block
from appliance.audio.resample import Resampler
from appliance.simulator.room.acoustics import Acoustics, heard
from appliance.units import REPLY, UPLINK, AudioFormat, Hz, Pcm, SampleIndex, Seconds
from tests.benchmarks.echo_cost import costs
from tests.benchmarks.figures import Figure

PPM: Final = 100.0
JITTER_S: Final = 0.0001
DELAY_S: Final = 0.12
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
    captured, left = _cancel(jump=False)
    progress("a jump")
    jumped, after_jump = _cancel(jump=True)
    progress("costs")
    return [
        Figure("linear_erle_db_at_100ppm", _erle_db(captured, left, 5.0, 30.0), "dB", ">= 15"),
        Figure("recovery_s_after_60ms_jump", _recovery_s(jumped, after_jump), "s", "<= 5"),
        *_costs(),
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


def _costs() -> list[Figure]:
    """Return what it costs; somebody speaks over the second half of the echo, 12 dB below it."""
    speech = _speech()
    echo = _heard(speech, ppm=0.0)
    voice = 0.25 * np.roll(echo, len(echo) // 3) * (np.arange(len(echo)) > len(echo) // 2)
    return costs(_pcm(echo + voice), _pcm(speech))


def _heard(speech: Sound, ppm: float) -> Sound:
    """Return the echo at the microphone, of a speaker whose clock is fast."""
    # It plays the same frames in less time.
    fast = Resampler(AudioFormat(Hz(round(REPLY.rate_hz * 1e3 * (1 + ppm * 1e-6)))), Hz(round(UPLINK.rate_hz * 1e3)))
    whole = np.concatenate((fast.feed(_pcm(speech)), fast.finish())) / FULL_SCALE
    late = np.concatenate((np.zeros(UPLINK.frames(DELAY_S)), whole))
    captured = ECHO * heard(late, Acoustics().response(0.3, seed=3))
    return captured + NOISE * np.random.default_rng(1).standard_normal(len(captured))


def _cancel(*, jump: bool) -> tuple[Sound, Sound]:
    """Return what the microphone hears, and the linear part's rest of it."""
    speech = _speech()
    captured, played = _heard(speech, PPM), _pcm(speech)
    if jump:
        at = UPLINK.frames(JUMPS_AT_S)
        captured = np.concatenate((captured[:at], captured[at - UPLINK.frames(JUMP_S) :]))
    path, rng, left = EchoPath(REPLY), np.random.default_rng(2), np.zeros(len(captured))
    period, block, at = REPLY.frames(0.01), UPLINK.frames(0.02), 0
    for start in range(0, len(captured) - block + 1, block):
        now = UPLINK.duration(start + block)
        while (audible_at := REPLY.duration(at) / (1 + PPM * 1e-6)) < now + 0.03:
            path.played(played[at : at + period], Seconds(audible_at + rng.exponential(JITTER_S)))
            at += period
        samples = _pcm(captured[start : start + block])
        for ready in path.captured(Block(SampleIndex(start), samples, Seconds(now + rng.exponential(JITTER_S)))):
            left[ready.start : ready.start + len(ready.samples)] = ready.samples / FULL_SCALE
    return captured, left


def _pcm(sound: Sound) -> Pcm:
    samples: Pcm = np.clip(np.rint(sound * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    return samples


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
