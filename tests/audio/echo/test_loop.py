"""The measured loop, as the state directory keeps it."""

import json
from dataclasses import replace

import pytest

from appliance.audio.echo.loop import LoopMeasurement

MEASURED = LoopMeasurement("usb_mic", "usb_speaker", -62.0, 0.04, 12.5, -6.0, 21.0, -8.0, 3.0)


@pytest.mark.parametrize("measurement", [MEASURED, replace(MEASURED, delay_s=None)])
def test_a_measurement_survives_its_file(measurement: LoopMeasurement):
    assert LoopMeasurement.restored(json.loads(json.dumps(measurement.stored()))) == measurement


@pytest.mark.parametrize(
    "document",
    [None, [], "", {}, {"reach_m": 3}, MEASURED.stored() | {"ppm": "nan"}, MEASURED.stored() | {"ppm": float("nan")}],
)
def test_a_damaged_one_counts_as_none(document: object):
    assert LoopMeasurement.restored(document) is None


def test_one_of_a_later_release_can_be_read():
    assert LoopMeasurement.restored(MEASURED.stored() | {"later": 1}) == MEASURED


def test_voice_is_allowed_where_a_person_can_be_heard_and_of_the_cards_that_were_measured():
    assert MEASURED.allows_voice
    assert not replace(MEASURED, reach_m=0.2).allows_voice
    assert MEASURED.is_of("usb_mic", "usb_speaker")
    assert not MEASURED.is_of("usb_mic", "hdmi")
