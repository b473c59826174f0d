"""The microphone's way through the echo canceller, with both cards' clocks and times."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.path import EchoPath
from appliance.audio.echo.status import EchoStatus
from appliance.audio.echo.webrtc import WebrtcSuppressor
from appliance.audio.ports import Block
from appliance.audio.sounds import make_earcon
from appliance.core.effects import Earcon
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


@dataclass
class Driver:
    """Drives a path as the worker does: periods of 10 ms that are heard 30 ms later, blocks of 20 ms.

    The times of both cards are late by chance. The speaker may be fast, or fall silent for want of samples (`xrun_s`),
    and the microphone may lose samples (`lost_s`); both after 8 s.
    """

    path: EchoPath
    ppm: float = 0.0
    jitter_s: float = 0.0
    xrun_s: float = 0.0
    lost_s: float = 0.0

    def run(self, captured: Sound, reference: Sound) -> list[Block]:
        rng, blocks, played_to = np.random.default_rng(7), [], 0
        for at in range(0, len(captured) // 320 * 320, 320):
            now_s = (at + 320) / 16_000
            paused_s = self.xrun_s if now_s > 8 else 0.0
            while (heard_s := played_to / (24_000 * (1 + self.ppm * 1e-6)) + paused_s) < now_s + 0.03:
                jitter_s = rng.exponential(self.jitter_s)
                self.path.played(pcm(reference[played_to : played_to + 240]), Seconds(100 + heard_s + jitter_s))
                played_to += 240
            if 8 <= at / 16_000 < 8 + self.lost_s:
                continue
            captured_at = Seconds(100 + now_s + rng.exponential(self.jitter_s))
            blocks += self.path.captured(Block(SampleIndex(at), pcm(captured[at : at + 320]), captured_at))
        return blocks


def run(path: EchoPath, captured: Sound, reference: Sound) -> list[Block]:
    return Driver(path).run(captured, reference)


def linear_of(blocks: list[Block], length: int) -> Sound:
    """Return the linear stream at its indices; silence where samples were lost."""
    samples = np.zeros(length)
    for block in blocks:
        samples[block.start : block.start + len(block.samples)] = block.for_wake_word
    return samples


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


@pytest.mark.parametrize(
    "delay_s", [0.0, pytest.param(0.05, marks=pytest.mark.slow), pytest.param(0.3, marks=pytest.mark.slow), 0.6]
)
def test_a_delay_that_the_card_does_not_know_of_is_found_within_seconds(delay_s: float):
    sound = played(6.0, REPLY.rate_hz)
    captured = at_the_microphone(sound, delay_s)
    path = EchoPath(REPLY)
    linear = linear_of(run(path, captured, sound), len(captured))
    assert power_db(pcm(captured), 3, 6) - power_db(linear, 3, 6) > 12
    assert path.status.delay_s == pytest.approx(delay_s + 0.001, abs=0.004)


@pytest.mark.parametrize(("ppm", "jitter_s"), [pytest.param(100.0, 0.0002, marks=pytest.mark.slow), (-250.0, 0.001)])
def test_clocks_that_drift_apart_are_followed_through_the_jitter_of_their_times(ppm: float, jitter_s: float):
    sound = played(24.0, REPLY.rate_hz)
    places = np.arange(len(sound)) * (1 + ppm * 1e-6)
    fast = np.interp(places, np.arange(len(sound)), sound)
    captured = at_the_microphone(fast, 0.1)
    path = EchoPath(REPLY)
    linear = linear_of(Driver(path, ppm, jitter_s).run(captured, sound), len(captured))
    assert power_db(pcm(captured), 18, 23) - power_db(linear, 18, 23) > 14
    assert path.status.ppm == pytest.approx(ppm, abs=15)


@pytest.mark.parametrize(
    "jump_s", [0.25, pytest.param(0.06, marks=pytest.mark.slow), pytest.param(-0.06, marks=pytest.mark.slow)]
)
def test_a_delay_that_jumps_is_followed_with_what_was_learnt(jump_s: float):
    sound = played(14.0, REPLY.rate_hz)
    before, after = at_the_microphone(sound, 0.1), at_the_microphone(sound, 0.1 + jump_s)
    captured = np.concatenate((before[: 8 * 16_000], after[8 * 16_000 :]))
    path = EchoPath(REPLY)
    linear = linear_of(run(path, captured, sound), len(captured))
    assert power_db(pcm(captured), 10.5, 13) - power_db(linear, 10.5, 13) > 15
    assert path.status.state is CancellerState.CONVERGED
    assert path.status.delay_s == pytest.approx(0.101 + jump_s, abs=0.004)


def test_a_speaker_that_ran_out_of_samples_costs_half_a_second():
    sound = played(12.0, REPLY.rate_hz)
    echo = at_the_microphone(sound, 0.1)
    captured = np.concatenate((echo[: 8 * 16_000], at_the_microphone(sound, 0.16)[8 * 16_000 :]))
    path = EchoPath(REPLY)
    linear = linear_of(Driver(path, xrun_s=0.06).run(captured, sound), len(captured))
    assert power_db(pcm(captured), 8.7, 11) - power_db(linear, 8.7, 11) > 15
    assert path.status.delay_s == pytest.approx(0.101, abs=0.004)  # the card has told of it


def test_samples_that_a_microphone_lost_leave_no_echo_behind():
    sound = played(12.0, REPLY.rate_hz)
    captured = at_the_microphone(sound, 0.1)
    blocks = Driver(EchoPath(REPLY, WebrtcSuppressor()), lost_s=0.1).run(captured, sound)
    linear = linear_of(blocks, len(captured))
    assert power_db(pcm(captured), 8.2, 10) - power_db(linear, 8.2, 10) > 15
    missing = np.ones(len(captured), bool)
    for block in blocks:
        missing[block.start : block.start + len(block.samples)] = False
    assert np.flatnonzero(missing[: 11 * 16_000]).tolist() == list(range(8 * 16_000, 8 * 16_000 + 1_600))
    for block in blocks:
        assert abs(block.captured_at - 100 - (block.start + len(block.samples)) / 16_000) < 1e-3


def test_blocks_of_any_length_are_taken():
    rng = np.random.default_rng(2)
    speech = pcm(0.1 * rng.standard_normal(16_000))
    path, at, heard_again = EchoPath(REPLY, WebrtcSuppressor()), 0, []
    while at < len(speech):
        piece = speech[at : at + int(rng.integers(1, 700))]
        at += len(piece)
        heard_again += path.captured(Block(SampleIndex(at - len(piece)), piece, Seconds(at / 16_000)))
    linear = np.concatenate([block.for_wake_word for block in heard_again])
    assert len(linear) >= 16_000 - 160 - WebrtcSuppressor.delay
    assert np.array_equal(linear, speech[: len(linear)])
    assert all(a.start + len(a.samples) == b.start for a, b in itertools.pairwise(heard_again))


@pytest.mark.parametrize("delay_s", [0.0, 0.12, 0.6])
def test_the_wake_chime_tells_the_delay_before_the_first_reply(delay_s: float):
    sound = np.zeros(3 * 24_000)
    chime = make_earcon(Earcon.WAKE) / 32_768
    sound[24_000 : 24_000 + len(chime)] = chime
    path = EchoPath(REPLY)
    noise = 10 ** (-60 / 20) * np.random.default_rng(3).standard_normal(3 * 16_000)
    run(path, at_the_microphone(sound, delay_s) + noise, sound)
    assert path.status.delay_s == pytest.approx(delay_s + 0.001, abs=0.004)
    assert path.status.state is CancellerState.COLD  # a chime does not tell enough of the room


def test_where_the_microphone_hears_something_else_no_delay_is_found():
    sound = played(8.0, REPLY.rate_hz)
    path = EchoPath(REPLY)
    run(path, at_the_microphone(np.roll(sound, 90_000), 0.0), sound)
    assert path.status.delay_s is None
    assert path.status.state is CancellerState.COLD
