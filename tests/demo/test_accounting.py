"""The proof that nothing is lost can itself fail: it finds what is missing, twice or foreign, to the sample."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.demo.accounting import Account, account
from appliance.units import Pcm


def noise(samples: int, seed: int = 1) -> Pcm:
    return np.random.default_rng(seed).integers(-2000, 2000, samples).astype(np.int16)


def test_equal_is_equal():
    pcm = noise(5000)
    assert account(pcm, pcm) == Account(5000, 5000, 0, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000), st.integers(1, 900))
def test_a_gap_is_counted(start: int, length: int):
    pcm = noise(5000)
    found = account(pcm, np.delete(pcm, slice(start, start + length)))
    assert (found.lost, found.duplicated, found.strange) == (length, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000), st.integers(70, 900))
def test_a_repetition_is_counted(start: int, length: int):
    pcm = noise(5000)
    end = start + length
    found = account(pcm, np.concatenate([pcm[:end], pcm[start:end], pcm[end:]]))
    assert (found.lost, found.duplicated, found.strange) == (0, length, 0)


def test_a_missing_end_and_nothing_at_all_are_losses():
    pcm = noise(1000)
    assert account(pcm, pcm[:400]).lost == 600
    assert account(pcm, pcm[:0]).lost == 1000


def test_foreign_samples_are_strange():
    pcm = noise(1000)
    found = account(pcm, np.concatenate([pcm[:500], noise(100, seed=2), pcm[500:]]))
    assert (found.lost, found.duplicated, found.strange) == (0, 0, 100)


def test_one_changed_sample_is_noticed():
    pcm = noise(1000)
    changed = pcm.copy()
    changed[300] += 1
    found = account(pcm, changed)
    assert found.strange + found.lost + found.duplicated > 0
