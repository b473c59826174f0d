"""The smooth time of a stream."""

import numpy as np
import pytest

from appliance.audio.echo.stream_clock import StreamClock
from appliance.units import Hz

RATE = Hz(48_000)
PERIOD = 480


def drive(
    clock: StreamClock, seconds: float, ppm: float, jitter_s: float, start: int = 0, late_s: float = 0.0
) -> float:
    """Give it periods of 10 ms; return the sum of the jumps that it has seen."""
    rng, jumps = np.random.default_rng(4), 0.0
    for count in range(start, start + round(seconds * RATE), PERIOD):
        jumps += clock.note(count, 7 + count / RATE * (1 - ppm * 1e-6) + late_s + rng.exponential(jitter_s))
    return jumps


@pytest.mark.parametrize("ppm", [-300.0, 0.0, 20.0, 300.0])
@pytest.mark.parametrize(("jitter_s", "within_ppm", "within_s"), [(0.0001, 3, 1e-4), (0.001, 20, 1e-3)])
def test_offset_and_drift_are_found_through_jitter(ppm: float, jitter_s: float, within_ppm: float, within_s: float):
    clock = StreamClock(RATE)
    assert drive(clock, 20.0, ppm, jitter_s) == 0
    assert clock.ppm == pytest.approx(ppm, abs=within_ppm)
    count = 20 * RATE
    at = 7 + 20 * (1 - ppm * 1e-6)
    assert clock.time_of(count) == pytest.approx(at, abs=within_s)
    assert clock.count_at(clock.time_of(count)) == pytest.approx(count, abs=1e-3)


def test_one_step_never_moves_the_line_by_more_than_the_jitter():
    clock, rng = StreamClock(RATE), np.random.default_rng(4)
    drive(clock, 10.0, 50.0, 0.0002)
    places = []
    for count in range(10 * RATE, 20 * RATE, PERIOD):
        clock.note(count, 7 + count / RATE * (1 - 50e-6) + rng.exponential(0.0002))
        places.append(clock.time_of(count) - count / RATE * (1 - 50e-6))
    assert np.max(np.abs(np.diff(places))) < 2e-5


@pytest.mark.parametrize("jump_s", [0.06, -0.06, 1.5])
def test_a_jump_is_believed_after_a_few_periods(jump_s: float):
    clock = StreamClock(RATE)
    drive(clock, 10.0, 30.0, 0.0001)
    assert drive(clock, 0.1, 30.0, 0.0001, start=10 * RATE, late_s=jump_s) == pytest.approx(jump_s, abs=0.001)
    assert clock.ppm == pytest.approx(30, abs=5)
    assert drive(clock, 5.0, 30.0, 0.0001, start=10 * RATE + 4_800, late_s=jump_s) == 0


def test_a_few_late_times_are_no_jump():
    clock = StreamClock(RATE)
    drive(clock, 10.0, 0.0, 0.0001)
    assert drive(clock, 0.06, 0.0, 0.0001, start=10 * RATE, late_s=0.05) == 0
    assert drive(clock, 5.0, 0.0, 0.0001, start=10 * RATE + 6 * PERIOD) == 0
    assert clock.time_of(15 * RATE) == pytest.approx(22, abs=0.0005)


def test_times_that_go_up_and_down_with_the_periods_of_the_hardware_are_no_jumps():
    clock, jumps = StreamClock(RATE), []
    for count in range(0, 20 * RATE, PERIOD):
        hardware = count // 512 * 512  # as a driver that counts whole periods of its own
        jumps.append(clock.note(count, 7 + hardware / RATE + 0.01 * (count / RATE % 0.16) / 0.16))
    assert not any(jumps[200:])
    assert clock.ppm == pytest.approx(0, abs=30)
