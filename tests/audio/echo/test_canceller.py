"""The echo canceller in a simulated room."""

import numpy as np
import pytest

from appliance.audio.echo.canceller import BLOCK, CONVERGED_DB, CancellerState, EchoCanceller
from appliance.simulator.room.acoustics import Acoustics, heard

RATE = 16_000
Sound = np.ndarray


def played(seconds: float) -> Sound:
    """Return noise with the pauses of speech, -20 dBFS."""
    rng = np.random.default_rng(5)
    noise = 0.1 * rng.standard_normal(round(seconds * RATE))
    return noise * np.repeat(rng.uniform(0, 1, len(noise) // 2_000 + 1) > 0.3, 2_000)[: len(noise)]


def cancel(canceller: EchoCanceller, captured: Sound, reference: Sound) -> Sound:
    pieces = [
        canceller.process(captured[at : at + BLOCK].astype(np.float32), reference[at : at + BLOCK].astype(np.float32))
        for at in range(0, len(captured) - BLOCK + 1, BLOCK)
    ]
    return np.concatenate(pieces)


def power_db(sound: Sound, begin_s: float, end_s: float) -> float:
    return float(10 * np.log10(np.mean(sound[round(begin_s * RATE) : round(end_s * RATE)] ** 2) + 1e-12))


@pytest.fixture(scope="module")
def reference() -> Sound:
    return played(12.0)


@pytest.fixture(scope="module")
def echo(reference: Sound) -> Sound:
    return 0.15 * heard(reference, Acoustics().response(0.3, seed=1))


def test_an_echo_is_gone_within_seconds(reference: Sound, echo: Sound):
    canceller = EchoCanceller()
    assert canceller.state.value == "cold"
    left = cancel(canceller, echo, reference)
    assert power_db(echo, 2, 4) - power_db(left, 2, 4) > 12
    assert power_db(echo, 8, 12) - power_db(left, 8, 12) > 18
    assert canceller.state.value == "converged"
    assert canceller.erle_db > CONVERGED_DB


def test_a_voice_that_speaks_over_it_is_kept(reference: Sound, echo: Sound):
    voice = np.zeros(len(echo))
    voice[6 * RATE : 9 * RATE] = np.sqrt(np.mean(echo**2)) * np.random.default_rng(3).standard_normal(3 * RATE)
    left = cancel(EchoCanceller(), echo + voice, reference)
    assert power_db(left - voice, 6, 9) < power_db(voice, 6, 9) - 10
    assert power_db(left, 10, 12) < power_db(echo, 10, 12) - 12


def test_without_a_reference_every_sample_passes_as_it_is(echo: Sound):
    assert np.array_equal(cancel(EchoCanceller(), echo, np.zeros(len(echo))), echo.astype(np.float32))


def test_the_room_is_remembered_over_a_silence(reference: Sound, echo: Sound):
    canceller, silence = EchoCanceller(), np.zeros(60 * RATE)
    cancel(canceller, echo, reference)
    cancel(canceller, silence, silence)
    left = cancel(canceller, echo, reference)
    assert power_db(echo, 0.2, 1) - power_db(left, 0.2, 1) > 15


def test_a_jump_is_noticed_and_learnt_anew(reference: Sound, echo: Sound):
    canceller = EchoCanceller()
    cancel(canceller, echo, reference)
    later = np.concatenate((np.zeros(960), echo[:-960]))
    cancel(canceller, later[: 2 * RATE], reference[: 2 * RATE])
    assert canceller.state.value == "broken"
    left = cancel(canceller, later, reference)
    assert power_db(later, 5, 7) - power_db(left, 5, 7) > 12
    assert canceller.state.value == "converged"


@pytest.mark.parametrize("value", [np.nan, pytest.param(np.inf, marks=pytest.mark.slow)])
def test_a_sample_that_is_no_number_costs_no_more_than_what_was_learnt(reference: Sound, echo: Sound, value: float):
    canceller, broken = EchoCanceller(), echo.copy()
    broken[3 * RATE] = value
    left = cancel(canceller, broken, reference)
    assert np.isfinite(left).all()
    assert power_db(echo, 9, 12) - power_db(left, 9, 12) > 12


@pytest.mark.parametrize("louder_db", [-12, 0, 6])
def test_a_voice_over_the_echo_is_not_taken_for_a_change_of_the_room(reference: Sound, echo: Sound, louder_db: float):
    canceller = EchoCanceller()
    cancel(canceller, echo[: 6 * RATE], reference[: 6 * RATE])
    voice = np.sqrt(np.mean(echo**2)) * 10 ** (louder_db / 20) * np.random.default_rng(3).standard_normal(6 * RATE)
    for at in range(6 * RATE, 12 * RATE, 3_200):
        piece = slice(at, at + 3_200)
        cancel(canceller, echo[piece] + voice[at - 6 * RATE :][:3_200], reference[piece])
        assert canceller.state.value == "converged"


def test_an_echo_that_nobody_hears_needs_no_cancellation(reference: Sound):
    canceller = EchoCanceller()
    cancel(canceller, 10 ** (-75 / 20) * np.random.default_rng(3).standard_normal(len(reference)), reference)
    assert canceller.state.value == "converged"
    assert canceller.erle_db < CONVERGED_DB


def test_after_a_doubt_it_has_to_prove_itself(reference: Sound, echo: Sound):
    canceller = EchoCanceller()
    cancel(canceller, echo, reference)
    canceller.doubt()
    assert canceller.state.value == "broken"
    assert canceller.erle_db == 0
    cancel(canceller, echo[: RATE // 2], reference[: RATE // 2])
    assert canceller.state is not CancellerState.CONVERGED
    cancel(canceller, echo[RATE // 2 : 2 * RATE], reference[RATE // 2 : 2 * RATE])
    assert canceller.state.value == "converged"


def test_a_chime_is_too_short_to_prove_anything(reference: Sound, echo: Sound):
    canceller = EchoCanceller()
    chime = np.zeros(3 * RATE, np.float32)
    chime[: RATE // 4] = 0.2 * np.sin(np.arange(RATE // 4) * 2 * np.pi * 880 / RATE)
    cancel(canceller, 0.5 * chime, chime)
    assert canceller.erle_db > CONVERGED_DB
    assert canceller.state.value == "cold"
    cancel(canceller, echo[: 4 * RATE], reference[: 4 * RATE])
    assert canceller.state.value == "converged"
