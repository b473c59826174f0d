"""Speech while nothing is let through is no loss of the uplink's, and is told all the same."""

import numpy as np
import pytest

from appliance.demo.expected_uplink import Span
from appliance.demo.unsent import unsent_speech_s
from appliance.units import UPLINK, Pcm, SampleIndex


def span(begin_s: float, end_s: float) -> Span:
    return SampleIndex(UPLINK.frames(begin_s)), SampleIndex(UPLINK.frames(end_s))


def room(*speech: tuple[float, float]) -> Pcm:
    """Return ten seconds of a quiet room, with somebody who speaks between these seconds."""
    noise = np.random.default_rng(3).integers(-8000, 8000, 160_000, dtype=np.int16)
    spoken = np.zeros(len(noise), bool)
    for begin_s, end_s in speech:
        spoken[slice(*span(begin_s, end_s))] = True
    return np.where(spoken, noise, noise >> 9)


@pytest.mark.parametrize(
    ("speech", "unsent_s"),
    [
        ([(2.0, 4.0)], 0.0),
        ([(5.0, 7.0)], 2.0),
        ([(3.0, 6.0)], 2.0),
        ([(7.5, 8.5)], 0.5),
        ([], 0.0),
    ],
    ids=["let through", "while an answer played", "over its beginning", "partly after the end", "nothing"],
)
def test_speech_is_counted_within_a_conversation_and_outside_of_what_was_let_through(
    speech: list[tuple[float, float]], unsent_s: float
):
    found = unsent_speech_s(room(*speech), [span(1.0, 8.0)], [span(1.0, 4.0)])
    assert found == pytest.approx(unsent_s, abs=0.12)
