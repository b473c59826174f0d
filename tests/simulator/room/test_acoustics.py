"""Echoes of a simulated room."""

import numpy as np
import pytest

from appliance.simulator.room.acoustics import BLOCK, Acoustics, Reverberation, heard


def test_block_by_block_it_sounds_as_it_does_in_one_piece():
    sound = np.random.default_rng(1).standard_normal(200 * BLOCK)
    response = Acoustics().response(0.3, seed=2)
    reverberation = Reverberation(response)
    blocks = [reverberation.feed(sound[at : at + BLOCK]) for at in range(0, len(sound), BLOCK)]
    assert np.allclose(np.concatenate(blocks), heard(sound, response))


def test_reverberation_decays_by_60_db_within_its_time():
    response = Acoustics(rt60_s=0.4).response(1.0, seed=3)
    early, late = response[100:400], response[5_600:5_900]
    fall_db = 10 * np.log10(np.mean(early**2) / np.mean(late**2))
    assert fall_db == pytest.approx(60 * 5_500 / 16_000 / 0.4, abs=4)


def test_who_is_near_is_heard_directly_and_who_is_far_through_the_room():
    near, far = (Acoustics().response(distance, seed=4) for distance in (0.3, 3.0))
    share = [response.max() ** 2 / np.sum(response**2) for response in (near, far)]
    assert share[0] > 0.7
    assert share[1] < 0.1


def test_places_differ_and_a_seed_names_one():
    assert np.array_equal(Acoustics().response(1.0, seed=5), Acoustics().response(1.0, seed=5))
    assert not np.array_equal(Acoustics().response(1.0, seed=5), Acoustics().response(1.0, seed=6))
