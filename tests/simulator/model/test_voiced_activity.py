"""A service that hears voices, not loudness."""

import numpy as np

from appliance.simulator.contract.setup import DetectionSettings
from appliance.simulator.model.speech_detector import Activity, Edge
from appliance.simulator.model.voiced_activity import VoicedActivityDetector
from appliance.units import Pcm
from appliance.voice.scripted import ScriptedVoiceDetector

WINDOW = 512
SETTINGS = DetectionSettings(silence_duration_ms=320)


def edges(*speech: tuple[int, int], seconds: int = 4, piece: int = 160) -> list[Edge]:
    detector = VoicedActivityDetector(SETTINGS, ScriptedVoiceDetector(speech))
    silence: Pcm = np.zeros(piece, np.int16)
    found = [edge for _ in range(seconds * 16_000 // piece) for edge in detector.feed(silence)]
    return found + detector.end_of_stream()


def test_speech_has_a_beginning_and_an_end():
    assert edges((10 * WINDOW, 30 * WINDOW)) == [
        Edge(Activity.START, 10 * WINDOW),
        Edge(Activity.END, 30 * WINDOW),
    ]


def test_pieces_of_any_length_have_the_same_edges():
    assert edges((10 * WINDOW, 30 * WINDOW), piece=1_000) == edges((10 * WINDOW, 30 * WINDOW), piece=50)


def test_what_is_shorter_than_a_word_is_nothing():
    assert edges((10 * WINDOW, 15 * WINDOW), (20 * WINDOW, 25 * WINDOW)) == []


def test_a_short_pause_does_not_end_it_and_the_end_of_the_stream_does():
    stream = edges((10 * WINDOW, 30 * WINDOW), (35 * WINDOW, 1_000 * WINDOW))
    assert [edge.activity for edge in stream] == [Activity.START, Activity.END]
    assert stream[1].at == 4 * 16_000
