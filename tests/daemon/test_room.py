"""The whole daemon in a simulated room: people interrupt it by speaking, and it does not interrupt itself."""

import importlib.util

import pytest

from tests.benchmarks.echo_scenes import Arrangement, Scene, play

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "openwakeword", "pywebrtc_audio")),
    reason="the extra device is not installed",
)


def test_it_does_not_interrupt_itself():
    outcome = play(Scene(Arrangement.CASCADE, 2, 11))
    assert not any(answer.cut for answer in outcome.answers)


def test_a_person_who_is_quieter_than_its_echo_interrupts_it():
    outcome = play(Scene(Arrangement.CASCADE, 2, 2, -6.0))
    assert [answer.stopped for answer in outcome.answers if answer.spoke_at is not None] == [True, True]


@pytest.mark.slow
def test_without_a_canceller_it_interrupts_itself():
    outcome = play(Scene(Arrangement.NOTHING, 2, 11))
    assert any(answer.cut for answer in outcome.answers)
