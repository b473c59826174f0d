"""Conversion of streams to another rate, and to mono. The only importer of soxr."""

from enum import Enum

import numpy as np
import soxr

from appliance.units import AudioFormat, Hz, Pcm


class Quality(Enum):
    """Trade-off of bandwidth against latency; values are soxr's recipes."""

    HIGH = "HQ"
    """Flat to 0.91 of the lower Nyquist frequency; output comes in pieces of about 40 ms."""
    LOW_LATENCY = "LQ"
    """Flat to 0.68 of it (5.4 of 8 kHz); output comes in pieces of about 20 ms."""


class Resampler:
    """Converts one stream of int16 frames to mono at another rate, without gaps between pieces.

    Output lags behind input, and comes in pieces; after `finish`, its length is that of the input times the ratio of
    the rates, rounded. A stream that needs no conversion passes through.
    """

    def __init__(self, source: AudioFormat, rate_hz: Hz, quality: Quality = Quality.HIGH) -> None:
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
        """Return the samples still held back; nothing may be fed afterwards."""
        nothing: Pcm = np.zeros(0, np.int16)
        if self._stream is None:
            return nothing
        return np.asarray(self._stream.resample_chunk(nothing, last=True), dtype=np.int16)


def _mixed_down(frames: Pcm) -> Pcm:
    if frames.shape[1] == 1:
        return frames[:, 0]
    mono: Pcm = np.rint(frames.mean(axis=1, dtype=np.float32)).astype(np.int16)
    return mono
