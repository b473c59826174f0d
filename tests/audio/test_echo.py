"""Where the echo of a reply ends: recorded sentences in simulated rooms, played by speakers that are late."""

from functools import cache, partial
from itertools import product

import numpy as np
import pytest

from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.echo.correlation import find_echo
from appliance.audio.echo.guard import LONGEST_S, REVERBERATION_S, EchoGuard
from appliance.audio.echo.onset import speech_onset
from appliance.audio.ports import Block
from appliance.audio.resample import Resampler
from appliance.audio.sounds import PhrasesOnly
from appliance.core.events import Trouble
from appliance.units import REPLY, UPLINK, Pcm, SampleIndex, Seconds

DELAYS_S = (0.0, 0.1, 0.25, 0.4, 0.6)
LEVELS_DB = (-6, -10, -20)
USUAL = {(0.0, -6), (0.1, -20), (0.25, -10), (0.6, -6), (0.6, -20)}
ECHOES = [pytest.param(*echo, marks=() if echo in USUAL else pytest.mark.slow) for echo in product(DELAYS_S, LEVELS_DB)]
BLOCK = UPLINK.frames(0.02)


@cache
def sentence(trouble: Trouble) -> Pcm:
    """Two to three seconds, 24 kHz."""
    phrase = PhrasesOnly().phrase(trouble)
    assert phrase is not None
    return phrase


def at_16_khz(samples: Pcm) -> Pcm:
    resampler = Resampler(REPLY, UPLINK.rate_hz)
    return np.concatenate((resampler.feed(samples), resampler.finish()))


def room(seconds: float, *sounds: tuple[float, float, Pcm]) -> Pcm:
    """Return what a microphone captures: noise, and each sound (16 kHz) from a moment on, at a level in dB."""
    random = np.random.default_rng(3)
    out = random.normal(0, 10, UPLINK.frames(seconds))
    for begin_s, level_db, sound in sounds:
        at, loud = UPLINK.frames(begin_s), sound * 10 ** (level_db / 20)
        piece = out[at : at + len(loud)]
        piece += loud[: len(piece)]
    captured: Pcm = np.clip(out, -32768, 32767).astype(np.int16)
    return captured


def reverberant(samples: Pcm) -> Pcm:
    """Return a sound as a room of 0.4 s makes it, 16 kHz."""
    later = np.arange(UPLINK.frames(0.4))
    response = np.random.default_rng(4).normal(0, 0.01, len(later)) * 10 ** (-3 * later / len(later))
    response[0] = 1.0
    echoed: Pcm = np.clip(np.convolve(samples, response), -32768, 32767).astype(np.int16)
    return echoed


@pytest.mark.parametrize(("delay_s", "level_db"), ECHOES)
def test_the_delay_of_an_echo_is_found(delay_s: float, level_db: float):
    played = sentence(Trouble.NETWORK)
    echo = find_echo(room(3.5, (delay_s, level_db, reverberant(at_16_khz(played)))), played, LONGEST_S)
    assert echo is not None
    assert echo.delay_s == pytest.approx(delay_s, abs=0.003)


def test_other_peoples_speech_silence_and_nothing_are_no_echo():
    played = sentence(Trouble.NETWORK)
    assert find_echo(room(3.5, (0.2, 0, at_16_khz(sentence(Trouble.CAP_SESSION)))), played, LONGEST_S) is None
    assert find_echo(room(3.5), played, LONGEST_S) is None
    assert find_echo(np.zeros(48_000, np.int16), played, LONGEST_S) is None
    assert find_echo(np.zeros(0, np.int16), np.zeros(0, np.int16), LONGEST_S) is None


def test_an_echo_under_somebody_elses_speech_is_found():
    played = sentence(Trouble.NETWORK)
    echoed, other = reverberant(at_16_khz(played)), at_16_khz(sentence(Trouble.CAP_SESSION))
    echo = find_echo(room(3.5, (0.3, -6, echoed), (1.0, -6, other)), played, LONGEST_S)
    assert echo is not None
    assert echo.delay_s == pytest.approx(0.3, abs=0.003)


@pytest.mark.parametrize("delay_s", DELAYS_S)
def test_who_speaks_over_the_end_of_an_echo_is_noticed_and_the_echo_alone_is_not(delay_s: float):
    played = sentence(Trouble.NETWORK)
    echoed, other = reverberant(at_16_khz(played)), at_16_khz(sentence(Trouble.CAP_SESSION))
    end_s = REPLY.duration(len(played))
    alone = room(end_s + 1.0, (delay_s, -20, echoed))
    echo = find_echo(alone, played, LONGEST_S)
    assert echo is not None
    assert speech_onset(alone, played, echo, end_s) is None
    onset_s = speech_onset(room(end_s + 1.0, (delay_s, -20, echoed), (end_s + 0.1, 0, other)), played, echo, end_s)
    assert onset_s == pytest.approx(end_s + 0.1, abs=0.25)


class Watched:
    """A guard that hears a reply from second 1 on, and a microphone."""

    def __init__(
        self, played: Pcm, captured: Pcm, measured_s: float | None = None, *, stays_open: bool = False
    ) -> None:
        ring = MicrophoneBuffer(20.0)
        self.guard = EchoGuard(ring, lambda: None if measured_s is None else Seconds(measured_s))
        self.end_s = 1.0 + REPLY.duration(len(played))
        self.opened: list[tuple[float, float]] = []
        """When it was known where the echo ends, and where that was; both after the end of the reply."""
        for start in range(0, len(played), 2400):
            self.guard.recent.played(Seconds(1.0 + start / 24_000), played[start : start + 2400])
        for start in range(0, len(captured), BLOCK):
            block = Block(SampleIndex(start), captured[start : start + BLOCK], Seconds((start + BLOCK) / 16_000))
            ring.append(block)
            self.guard.captured(block)
            if block.captured_at < self.end_s or self.opened or stays_open:
                continue
            clean_from = self.guard.clean_from()
            if clean_from is not None:
                self.opened.append((block.captured_at - self.end_s, clean_from / 16_000 - self.end_s))


@pytest.mark.parametrize("trouble", [Trouble.NETWORK, pytest.param(Trouble.CAP_MONTH, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("delay_s", "level_db"), ECHOES)
def test_the_microphone_opens_behind_the_echo(delay_s: float, level_db: float, trouble: Trouble):
    played = sentence(trouble)
    echoed = reverberant(at_16_khz(played))
    ((known_s, clean_s),) = Watched(played, room(7.0, (1.0 + delay_s, level_db, echoed))).opened
    assert clean_s == pytest.approx(delay_s + REVERBERATION_S, abs=0.01)
    assert known_s < delay_s + REVERBERATION_S + 0.1


def test_the_echo_of_a_very_short_reply_is_waited_for():
    played = sentence(Trouble.NETWORK)[12_000:24_000]
    echoed = reverberant(at_16_khz(played))
    ((_, clean_s),) = Watched(played, room(7.0, (1.6, -10, echoed))).opened
    assert clean_s == pytest.approx(0.6 + REVERBERATION_S, abs=0.01)


def test_without_an_echo_the_microphone_opens_at_once_behind_a_reply_and_loses_nothing():
    played = sentence(Trouble.CAP_MONTH)
    assert REPLY.duration(len(played)) > 2
    ((known_s, clean_s),) = Watched(played, room(7.0)).opened
    assert known_s == pytest.approx(0, abs=0.021)
    assert clean_s <= 0, "nothing is skipped"


def test_without_an_echo_a_very_short_reply_costs_a_second_and_no_word():
    played = sentence(Trouble.NETWORK)[12_000:24_000]
    other = at_16_khz(sentence(Trouble.CAP_SESSION))
    ((known_s, clean_s),) = Watched(played, room(7.0, (1.6, 0, other))).opened
    assert known_s <= LONGEST_S + 0.1
    assert clean_s <= 0, "nothing is skipped"


def test_who_speaks_at_once_is_heard_from_the_first_word_on():
    played = sentence(Trouble.NETWORK)
    echoed, other = reverberant(at_16_khz(played)), at_16_khz(sentence(Trouble.CAP_SESSION))
    end_s = 1.0 + REPLY.duration(len(played))
    begins_s = np.flatnonzero(np.abs(other.astype(int)) > 1000)[0] / 16_000
    ((_, clean_s),) = Watched(played, room(7.0, (1.4, -20, echoed), (end_s + 0.1, 0, other))).opened
    assert clean_s <= 0.1 + begins_s


@pytest.mark.parametrize("delay_s", DELAYS_S)
def test_behind_a_canceller_the_tail_is_waited_for_though_nothing_is_heard_of_it(delay_s: float):
    played = sentence(Trouble.NETWORK)
    ((known_s, clean_s),) = Watched(played, room(7.0), measured_s=delay_s).opened
    assert clean_s == pytest.approx(delay_s + REVERBERATION_S, abs=0.01)
    assert known_s < delay_s + REVERBERATION_S + 0.1


def test_an_echo_that_is_later_than_the_canceller_believes_is_waited_for_too():
    played = sentence(Trouble.NETWORK)
    echoed = reverberant(at_16_khz(played))
    ((_, clean_s),) = Watched(played, room(7.0, (1.4, -10, echoed)), measured_s=0.1).opened
    assert clean_s == pytest.approx(0.4 + REVERBERATION_S, abs=0.01)


@pytest.mark.parametrize("begins_s", [0.05, 0.3])
def test_behind_a_canceller_who_speaks_over_the_tail_is_heard_from_the_first_word_on(begins_s: float):
    played, other = sentence(Trouble.NETWORK), at_16_khz(sentence(Trouble.CAP_SESSION))
    loud_s = np.flatnonzero(np.abs(other.astype(int)) > 1000)[0] / 16_000
    end_s = 1.0 + REPLY.duration(len(played))
    ((_, clean_s),) = Watched(played, room(7.0, (end_s + begins_s, -10, other)), measured_s=0.6).opened
    assert clean_s <= begins_s + loud_s


def test_before_any_reply_there_is_no_echo():
    ring = MicrophoneBuffer(5.0)
    guard = EchoGuard(ring)
    assert guard.clean_from() == 0
    block = Block(SampleIndex(0), room(0.1), Seconds(7.1))
    ring.append(block)
    guard.captured(block)
    assert guard.clean_from() is not None
    assert guard.captured_at(SampleIndex(800)) == pytest.approx(7.05)


@pytest.mark.parametrize("stays_open", [False, True])
def test_a_person_is_distinguished_from_an_echo_that_comes_seconds_later_and_from_silence(stays_open: bool):
    watched = partial(Watched, stays_open=stays_open)
    played = sentence(Trouble.NETWORK)
    echoed, other = reverberant(at_16_khz(played)), at_16_khz(sentence(Trouble.CAP_SESSION))
    end_s = 1.0 + REPLY.duration(len(played))
    assert not watched(played, room(8.0, (1.0 + 1.6, -10, echoed))).guard.person_spoke()
    assert not watched(played, room(8.0)).guard.person_spoke()
    assert watched(played, room(8.0, (end_s + 1.0, -10, other))).guard.person_spoke()
    assert watched(played, room(8.0, (1.25, -10, echoed), (end_s + 1.0, -10, other))).guard.person_spoke()


def test_of_a_reply_that_the_microphone_has_not_heard_yet_nothing_is_known():
    ring = MicrophoneBuffer(10.0)
    guard = EchoGuard(ring)
    block = Block(SampleIndex(0), np.zeros(BLOCK, np.int16), Seconds(5.0))
    ring.append(block)
    guard.captured(block)
    guard.recent.played(Seconds(5.1), np.ones(2400, np.int16))
    assert guard.clean_from() is None
