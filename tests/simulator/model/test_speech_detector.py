import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.simulator.contract.setup import DetectionSettings
from appliance.simulator.model.speech_detector import Activity, Edge, SpeechDetector
from appliance.units import UPLINK, Pcm
from tests.support.simulator import loud, quiet

START, END = Activity.START, Activity.END
TOLERANCE = UPLINK.frames(0.04)


def edges(*pieces: Pcm, settings: DetectionSettings | None = None) -> list[Edge]:
    return SpeechDetector(settings or DetectionSettings()).feed(np.concatenate(pieces))


def assert_near(found: list[Edge], *expected: tuple[Activity, float]) -> None:
    assert [edge.activity for edge in found] == [activity for activity, _ in expected]
    for edge, (_, seconds) in zip(found, expected, strict=True):
        assert abs(edge.at - UPLINK.frames(seconds)) <= TOLERANCE


def test_speech_between_silences_has_its_two_edges_where_they_are():
    assert_near(edges(quiet(1), loud(1.5), quiet(1)), (START, 1.0), (END, 2.5))


def test_speech_from_the_first_sample_on_is_noticed():
    assert_near(edges(loud(1), quiet(1)), (START, 0.0), (END, 1.0))


def test_digital_silence_is_silence():
    assert edges(np.zeros(160_000, dtype=np.int16)) == []


def test_a_pause_shorter_than_the_silence_duration_does_not_end_the_turn():
    assert_near(edges(quiet(1), loud(0.5), quiet(0.5), loud(0.5), quiet(1)), (START, 1.0), (END, 2.5))


def test_the_silence_duration_is_the_one_asked_for():
    hasty = DetectionSettings(silence_duration_ms=200)
    assert_near(
        edges(quiet(1), loud(0.5), quiet(0.3), loud(0.5), quiet(0.3), settings=hasty),
        *((START, 1.0), (END, 1.5), (START, 1.8), (END, 2.3)),
    )


def test_a_click_shorter_than_the_padding_is_not_speech():
    patient = DetectionSettings(prefix_padding_ms=200)
    assert edges(quiet(1), loud(0.1), quiet(1), settings=patient) == []
    assert_near(edges(quiet(1), loud(0.4), quiet(1), settings=patient), (START, 1.0), (END, 1.4))


def test_steady_noise_becomes_the_floor_and_speech_above_it_is_found():
    noise = np.random.default_rng(4).normal(0, 200, UPLINK.frames(14)).astype(np.int16)
    found = edges(noise[: UPLINK.frames(11)], noise[: UPLINK.frames(1)] + loud(1), noise[: UPLINK.frames(2)])
    assert_near(found[-2:], (START, 11.0), (END, 12.0))


def test_a_pausing_stream_ends_the_turn_at_once():
    detector = SpeechDetector(DetectionSettings())
    assert [edge.activity for edge in detector.feed(loud(0.505))] == [START]
    assert detector.end_of_stream() == [Edge(END, UPLINK.frames(0.505))]
    assert detector.end_of_stream() == []


@settings(deadline=None, max_examples=12)
@given(st.lists(st.integers(50, 5000), min_size=1, max_size=40))
def test_the_size_of_the_pieces_does_not_matter(sizes: list[int]):
    stream = np.concatenate([quiet(0.3), loud(0.4), quiet(0.7), loud(0.3), quiet(0.7)])
    detector = SpeechDetector(DetectionSettings())
    found: list[Edge] = []
    position, step = 0, 0
    while position < len(stream):
        size = sizes[step % len(sizes)]
        found += detector.feed(stream[position : position + size])
        position, step = position + size, step + 1
    assert found == edges(stream)


@pytest.mark.parametrize("name", ["scene_hey_rhasspy", "scene_hey_jarvis", "scene_alexa"])
def test_the_shipped_scenes_hold_two_turns(name: str, scene):
    found = edges(scene(name), quiet(1))
    assert [edge.activity for edge in found] == [START, END, START, END]
    assert found[2].at - found[1].at > UPLINK.frames(5)
