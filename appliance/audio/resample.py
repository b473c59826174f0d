"""Conversion of streams to another rate, and to mono. The only importer of soxr."""

from enum import Enum

import numpy as np
import soxr

from appliance.units import AudioFormat, Hz, Pcm


class Quality(Enum):
    """What matters more; values are soxr's recipes."""

    FAITHFUL = "HQ"
    """Flat to 0.91 of the lower Nyquist frequency; comes in lumps of some 40 ms."""
    PROMPT = "LQ"
    """Flat to 0.68 of it (5.4 of 8 kHz); comes in lumps of some 20 ms: for what a person waits for."""


class Resampler:
    """Converts one stream of int16 frames to mono at another rate, without gaps between pieces.

    What comes out lags behind what went in, and comes in lumps; after `finish`, frames in times the ratio of the
    rates, rounded, have come out. A stream that needs no conversion passes through.
    """

    def __init__(self, source: AudioFormat, rate_hz: Hz, quality: Quality = Quality.FAITHFUL) -> None:
        self._channels = source.channels
        self._stream: soxr.ResampleStream | None = None
        if source.rate_hz != rate_hz:
            self._stream = soxr.ResampleStream(source.rate_hz, rate_hz, 1, dtype="int16", quality=quality.value)

    def feed(self, frames: Pcm) -> Pcm:
        """Take int16 frames, shape (frames,) or (frames, channels); return the mono samples that are ready."""
        mono = _mixed_down(frames.reshape(-1, self._channels))
        if self._stream is None:
            return mono
        return np.asarray(self._stream.resample_chunk(mono), dtype=np.int16)

    def finish(self) -> Pcm:
        """Return what was held back; nothing may be fed afterwards."""
        nothing: Pcm = np.zeros(0, np.int16)
        if self._stream is None:
            return nothing
        return np.asarray(self._stream.resample_chunk(nothing, last=True), dtype=np.int16)


def _mixed_down(frames: Pcm) -> Pcm:
    if frames.shape[1] == 1:
        return frames[:, 0]
    mono: Pcm = np.rint(frames.mean(axis=1, dtype=np.float32)).astype(np.int16)
    return mono
