"""The microphone's way through the echo canceller, with both cards' clocks and times."""

import itertools

import numpy as np

from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.path import EchoPath
from appliance.audio.echo.status import EchoStatus
from appliance.audio.echo.webrtc import WebrtcSuppressor
from appliance.audio.ports import Block
from appliance.simulator.room.acoustics import Acoustics, heard
from appliance.units import REPLY, UPLINK, Pcm, SampleIndex, Seconds

Sound = np.ndarray


def pcm(sound: Sound) -> Pcm:
    samples: Pcm = np.clip(np.rint(sound * 32_768), -32_768, 32_767).astype(np.int16)
    return samples


def played(seconds: float, rate_hz: int) -> Sound:
    """Return noise with the pauses of speech, -20 dBFS, below 6 kHz."""
    rng = np.random.default_rng(5)
    spectrum = np.fft.rfft(rng.standard_normal(round(seconds * rate_hz)))
    spectrum[round(6_000 * seconds) :] = 0
    noise = np.fft.irfft(spectrum, round(seconds * rate_hz))
    noise *= 0.1 / np.sqrt(np.mean(noise**2))
    return noise * np.repeat(rng.uniform(0, 1, len(noise) // 3_000 + 1) > 0.3, 3_000)[: len(noise)]


def at_the_microphone(sound: Sound, delay_s: float, gain: float = 0.15) -> Sound:
    """Return the echo of 24 kHz samples at 16 kHz."""
    spectrum = np.fft.rfft(sound)
    resampled = np.fft.irfft(spectrum[: len(sound) // 3 + 1], len(sound) * 2 // 3) * 2 / 3
    late = np.concatenate((np.zeros(UPLINK.frames(delay_s)), resampled))[: len(resampled)]
    return gain * heard(late, Acoustics().response(0.3, seed=1))


def run(path: EchoPath, captured: Sound, reference: Sound) -> list[Block]:
    """Drive a path as the worker does: periods of 10 ms that are heard 30 ms later, blocks of 20 ms."""
    blocks = []
    for at in range(0, len(captured) // 320 * 320, 320):
        now = (at + 320) / 16_000 + 100
        for period in range(2):
            start = at * 3 // 2 + period * 240
            samples = pcm(reference[start : start + 240])
            path.played(samples, Seconds(100 + start / 24_000))
        blocks += path.captured(Block(SampleIndex(at), pcm(captured[at : at + 320]), Seconds(now)))
    return blocks


def power_db(samples: Sound, begin_s: float, end_s: float) -> float:
    piece = samples[round(begin_s * 16_000) : round(end_s * 16_000)].astype(np.float64)
    return float(10 * np.log10(np.mean(piece**2) + 1e-9))


def test_the_echo_is_taken_away_from_both_streams():
    sound = played(12.0, REPLY.rate_hz)
    captured = at_the_microphone(sound, 0.12)
    path = EchoPath(REPLY, WebrtcSuppressor())
    assert path.status == EchoStatus()
    blocks = run(path, captured, sound)
    linear = np.concatenate([block.for_wake_word for block in blocks])
    clean = np.concatenate([block.samples for block in blocks])
    assert power_db(pcm(captured), 6, 11) - power_db(linear, 6, 11) > 15
    assert power_db(pcm(captured), 6, 11) - power_db(clean, 6, 11) > 25
    assert path.status.state is CancellerState.CONVERGED
    assert path.status.delay_s is not None
    assert abs(path.status.delay_s - 0.12) < 0.015


def test_samples_keep_their_index_and_their_time():
    path = EchoPath(REPLY, WebrtcSuppressor())
    speech = 0.1 * np.random.default_rng(1).standard_normal(16_000)
    blocks = run(path, speech, np.zeros(24_000))
    assert blocks[0].start == 0
    for block, following in itertools.pairwise(blocks):
        assert following.start == block.start + len(block.samples)
    for block in blocks:
        assert block.linear is not None
        assert len(block.linear) == len(block.samples)
        assert abs(block.captured_at - 100 - (block.start + len(block.samples)) / 16_000) < 1e-4
    linear = np.concatenate([block.for_wake_word for block in blocks])
    assert np.array_equal(linear, pcm(speech)[: len(linear)])
