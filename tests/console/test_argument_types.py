"""Numbers on a command line: within their bounds, or one line."""

from argparse import ArgumentTypeError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.console.argument_types import float_between, int_between, metres_between


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("007", 7), ("65535", 65_535)])
def test_a_whole_number_is_read(text: str, value: int):
    assert int_between(0, 65_535)(text) == value


@pytest.mark.parametrize("text", ["", "-1", "65536", "1.0", "1e3", "x", " 1", "\uff11", "1_0", "9" * 5000])
def test_what_is_no_whole_number_within_the_bounds_is_refused(text: str):
    with pytest.raises(ArgumentTypeError, match="has to be a whole number, 0 to 65535"):
        int_between(0, 65_535)(text)


@given(st.floats(0.5, 24))
def test_a_number_is_read(value: float):
    assert float_between(0.5, 24)(repr(value)) == value


@pytest.mark.parametrize("text", ["", "0.4", "24.1", "nan", "inf", "-inf", "1e300", "one"])
def test_what_is_no_number_within_the_bounds_is_refused(text: str):
    with pytest.raises(ArgumentTypeError, match=r"has to be a number, 0\.5 to 24"):
        float_between(0.5, 24)(text)


@pytest.mark.parametrize("text", ["0.3m", "0.3 m", "0.3", "30cm", "30 cm", " 0.3M "])
def test_a_distance_is_read_in_metres(text: str):
    assert metres_between(0.1, 5)(text) == pytest.approx(0.3)


@pytest.mark.parametrize("text", ["", "m", "cm", "0", "3 miles", "-1m", "nan", "inf", "1e9cm", "5.1m", "0.3mm", "3 ft"])
def test_what_is_no_distance_is_refused(text: str):
    with pytest.raises(ArgumentTypeError, match=r"has to be a distance, 0\.1m to 5m"):
        metres_between(0.1, 5)(text)
