"""Sounds to listen to, and feeding them to an engine as a microphone would."""

import io
import subprocess
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soxr

from appliance.units import UPLINK, Pcm, SampleIndex
from appliance.wake.ports import Detection, Score, WakeEngine

PERIOD = 320


def noise(seconds: float, seed: int = 0, deviation: float = 10.0) -> Pcm:
    """A quiet room."""
    return np.random.default_rng(seed).normal(0, deviation, UPLINK.frames(seconds)).astype(np.int16)


def silence(seconds: float) -> Pcm:
    return np.zeros(UPLINK.frames(seconds), np.int16)


def recording(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def spoken(words: str, voice: str = "en-us") -> Pcm:
    """Speech of espeak-ng."""
    said = subprocess.run(["espeak-ng", "-v", voice, "--stdout", words], check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(said)) as file:
        rate = file.getframerate()
    samples = np.frombuffer(said[44:], np.int16)  # all after the header, which has no length when it goes to a pipe
    resampled: Pcm = soxr.resample(samples, rate, UPLINK.rate_hz)
    return resampled


def end_of_word(samples: Pcm) -> int:
    """The sample after the last 10 ms that are within 30 dB of the loudest."""
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160).astype(float)
    loudness = np.sqrt((frames**2).mean(axis=1))
    return 160 * (int(np.flatnonzero(loudness > loudness.max() / 30)[-1]) + 1)


def feed(
    engine: WakeEngine, samples: Pcm, start: int = 0, periods: Iterable[int] | None = None
) -> tuple[list[Detection], list[Score]]:
    """Feed all samples, in 20 ms periods or in these lengths and the rest at once."""
    detections: list[Detection] = []
    scores: list[Score] = []
    cuts = np.cumsum(list(periods)) if periods is not None else np.arange(PERIOD, len(samples), PERIOD)
    at = start
    for part in np.split(samples, [cut for cut in cuts if cut < len(samples)]):
        heard, scored = engine.feed(SampleIndex(at), part)
        detections += heard
        scores += scored
        at += len(part)
    return detections, scores
