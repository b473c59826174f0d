"""The simulated room: when, how loud and by whom something is heard."""

import numpy as np
import pytest

from appliance.simulator.room.levels import speech_dbfs
from appliance.simulator.room.room import SPEECH_DBFS, Room, RoomOptions
from appliance.units import REPLY, UPLINK, AudioFormat, Hz, Pcm, Seconds

QUIET = RoomOptions(noise_dbfs=-100)


def noise(seconds: float, rate_hz: int = 24_000, dbfs: float = SPEECH_DBFS) -> Pcm:
    samples = np.random.default_rng(9).standard_normal(round(seconds * rate_hz))
    return (samples * 32_768 * 10 ** (dbfs / 20)).astype(np.int16)


def silence(seconds: float) -> Pcm:
    return np.zeros(REPLY.frames(seconds), np.int16)


def captured(room: Room, played: Pcm) -> Pcm:
    return np.concatenate([room.feed(played[at : at + 240]) for at in range(0, len(played), 240)])


def level(samples: Pcm) -> float:
    return speech_dbfs(samples / 32_768, UPLINK)


def onset(samples: Pcm) -> float:
    """When something begins, in seconds."""
    return float(np.argmax(np.abs(samples.astype(np.int32)) > 200)) / UPLINK.rate_hz


@pytest.mark.parametrize("delay_s", [0.0, 0.12, 0.6])
def test_what_is_played_is_heard_after_the_delay(delay_s: float):
    room = Room(RoomOptions(noise_dbfs=-100, delay_s=delay_s))
    heard = captured(room, np.concatenate((silence(0.2), noise(1.0), silence(1.0))))
    assert onset(heard) == pytest.approx(0.2 + delay_s + 0.3 / 343, abs=0.002)


def test_the_echo_has_its_level_and_only_that_of_what_is_played():
    room = Room(QUIET)
    heard = captured(room, np.concatenate((noise(2.0), silence(1.0), noise(2.0) // 8)))
    assert level(heard[: UPLINK.frames(2.0)]) == pytest.approx(QUIET.echo_dbfs, abs=3.0)
    assert level(heard[UPLINK.frames(3.3) :]) == pytest.approx(QUIET.echo_dbfs - 18, abs=3.0)


def test_a_person_is_louder_or_quieter_than_the_echo_by_what_was_asked():
    room = Room(QUIET)
    captured(room, silence(0.5))
    begin = room.say(noise(1.0, 16_000), over_echo_db=-12, after_s=0.25)
    assert begin == UPLINK.frames(0.75)
    heard = captured(room, silence(2.0))
    assert onset(heard) == pytest.approx(0.25 + QUIET.person_m / 343, abs=0.02)
    assert level(heard) == pytest.approx(QUIET.echo_dbfs - 12, abs=1.0)


def test_a_loud_reply_is_clipped():
    room = Room(RoomOptions(noise_dbfs=-100, clips_at=0.2))
    loud, quiet = noise(1.0, dbfs=-6), noise(1.0, dbfs=-36)
    rise_db = level(captured(room, loud)) - level(captured(Room(QUIET), quiet))
    assert rise_db < 24


def test_a_jump_makes_it_later():
    room = Room(QUIET)
    captured(room, silence(0.5))
    room.jump(0.06)
    heard = captured(room, np.concatenate((noise(1.0), silence(0.5))))
    assert onset(heard) == pytest.approx(0.12 + 0.06 + 0.3 / 343, abs=0.002)


def test_a_fast_speaker_is_done_early():
    fast = Room(RoomOptions(noise_dbfs=-100, ppm=500.0))
    click = np.zeros(REPLY.frames(10.0), np.int16)
    click[-4_800] = 30_000
    for at in range(0, len(click), 240):
        fast.played(click[at : at + 240], Seconds(at / (24_000 * 1.0005)))
        if at < 24_000:
            fast.capture(Seconds(at / 24_000))
    heard = np.concatenate([fast.capture(Seconds(at / 100)) for at in range(900, 1000)])
    due = (len(click) - 4_800) / (24_000 * 1.0005) + 0.12 - 9.0
    assert float(np.argmax(heard)) / 16_000 == pytest.approx(due + 0.3 / 343, abs=0.001)


def test_a_speaker_that_was_away_is_heard_again_at_its_time():
    room = Room(QUIET)
    captured(room, noise(0.5))
    for _ in range(100):
        room.capture(Seconds(room.end / 16_000))
    heard = captured(room, np.concatenate((noise(0.5), silence(0.5))))
    assert onset(heard) == pytest.approx(0.12 + 0.3 / 343, abs=0.02)


def test_a_television_goes_on_and_is_quieter_than_the_echo():
    room = Room(QUIET, noise(3.0, 16_000, -12))
    heard = captured(room, silence(7.0))
    assert level(heard[-16_000:]) == pytest.approx(QUIET.television_dbfs, abs=2.0)


def test_a_card_may_have_another_rate():
    room = Room(RoomOptions(noise_dbfs=-100, speaker=AudioFormat(Hz(48_000))))
    played = np.concatenate((noise(1.0, 48_000), np.zeros(24_000, np.int16)))
    heard = np.concatenate([room.feed(played[at : at + 480]) for at in range(0, len(played), 480)])
    assert onset(heard) == pytest.approx(0.12 + 0.3 / 343, abs=0.002)


def test_a_seed_gives_the_same_samples():
    first, second, other = (captured(Room(RoomOptions(seed=seed)), noise(0.5)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
