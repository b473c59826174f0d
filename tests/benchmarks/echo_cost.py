"""The costs of the echo path: processor time, against AEC3 alone on the same samples, and delay."""

import time
from typing import Final

import numpy as np

from appliance.audio.echo.canceller import BLOCK
from appliance.audio.echo.path import EchoPath
from appliance.audio.echo.webrtc import WebrtcSuppressor
from appliance.audio.ports import Block
from appliance.units import REPLY, UPLINK, Pcm, SampleIndex, Seconds
from tests.benchmarks.figures import Figure, compared

BLOCK_S: Final = 0.02
"""As PortAudio captures."""
_BLOCK: Final = UPLINK.frames(BLOCK_S)
_PERIOD: Final = REPLY.frames(0.01)
_AHEAD_S: Final = 0.03


def costs(captured: Pcm, played: Pcm) -> list[Figure]:
    """Return the figures for a microphone at 16 kHz and what the speaker played meanwhile, 24 kHz."""
    reference = np.interp(np.arange(len(captured)) * 1.5, np.arange(len(played)), played).astype(np.int16)
    path, alone = EchoPath(REPLY, WebrtcSuppressor()), WebrtcSuppressor()
    path_s = alone_s = 0.0
    count, speaker_at = len(captured) // _BLOCK, 0
    for at in range(0, count * _BLOCK, _BLOCK):
        end_s = UPLINK.duration(at + _BLOCK)
        since = time.process_time()
        while REPLY.duration(speaker_at) < end_s + _AHEAD_S:
            path.played(played[speaker_at : speaker_at + _PERIOD], Seconds(REPLY.duration(speaker_at)))
            speaker_at += _PERIOD
        path.captured(Block(SampleIndex(at), captured[at : at + _BLOCK], end_s))
        between = time.process_time()
        for tick in range(at, at + _BLOCK, BLOCK):
            alone.process(captured[tick : tick + BLOCK], reference[tick : tick + BLOCK])
        path_s, alone_s = path_s + between - since, alone_s + time.process_time() - between
    path_ms, alone_ms = (spent_s / count * 0.01 / BLOCK_S * 1000 for spent_s in (path_s, alone_s))
    return [
        compared("echo_cpu_ms_per_10ms", path_ms, "ms", "<= 0.3", ("AEC3 alone", alone_ms)),
        Figure("echo_cpu_ratio_to_aec3", path_s / alone_s, "", "<= 3"),
        Figure("echo_latency_ms", _latency_s(captured) * 1000, "ms", "<= 16"),
    ]


def _latency_s(voice: Pcm) -> float:
    """Return how long after its capture a voice is delivered while nothing is played."""
    path, delivered, behind = EchoPath(REPLY, WebrtcSuppressor()), [], []
    for at in range(0, len(voice) - _BLOCK + 1, _BLOCK):
        end = at + _BLOCK
        ready = path.captured(Block(SampleIndex(at), voice[at:end], UPLINK.duration(end)))
        delivered += ready
        behind += [UPLINK.duration(end - block.start - len(block.samples)) for block in ready]
    return float(np.mean(behind)) + _misplaced_s(voice, delivered)


def _misplaced_s(captured: Pcm, delivered: list[Block]) -> float:
    """Return how much later the clean samples are than their indices say, by cross-correlation."""
    clean = np.concatenate([block.samples for block in delivered]).astype(np.float64)
    start = delivered[0].start
    before = np.fft.rfft(captured[start : start + len(clean)].astype(np.float64), 2 * len(clean))
    correlation = np.fft.irfft(np.fft.rfft(clean, 2 * len(clean)) * before.conj())
    at = int(np.argmax(correlation))
    return UPLINK.duration(at if at < len(clean) else at - 2 * len(clean))
