"""The thread that takes away the echo: order, failures, and a daemon that has no time."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from appliance.audio.echo.canceller import CancellerState
from appliance.audio.ports import Block
from appliance.audio.worker.echo_thread import MAX_BLOCKS, EchoThread
from appliance.units import Hz, Pcm, SampleIndex, Seconds

pytestmark = pytest.mark.realtime


class Suppressor:
    """Passes everything; waits for `gate` before each block, and fails on a sample of `POISON`."""

    POISON = 12_345

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.delay = 0

    def process(self, linear: Pcm, reference: Pcm) -> Pcm:
        self.gate.wait(10)
        if Suppressor.POISON in linear:
            raise ValueError("a bug")
        return linear


class Delivered:
    """Blocks that were delivered; collects on the thread."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def until(self, count: int) -> list[Block]:
        patience = time.monotonic() + 10
        while sum(len(block.samples) for block in self.blocks) < count and time.monotonic() < patience:
            time.sleep(0.005)
        return self.blocks


Started = tuple[EchoThread, Delivered, Suppressor]


@pytest.fixture
def started() -> Iterator[Started]:
    delivered, suppressor = Delivered(), Suppressor()
    echo = EchoThread(suppressor, delivered.blocks.append)
    yield echo, delivered, suppressor
    echo.close()


def block(number: int, value: int = 100) -> Block:
    return Block(SampleIndex(320 * number), np.full(320, value, np.int16), Seconds(5 + 0.02 * (number + 1)))


def pull(frames: int, audible_at: Seconds) -> Pcm:
    return np.zeros(frames, np.int16)


def test_before_a_speaker_runs_blocks_pass_as_they_are(started: Started):
    echo, delivered, _ = started
    echo.put(block(0))
    assert delivered.until(320)[0].linear is None
    assert echo.status is None


def test_the_speakers_periods_are_those_of_the_mixer_and_blocks_keep_their_order(started: Started):
    echo, delivered, _ = started
    tapped = echo.tapped(pull, Hz(48_000))
    for number in range(50):
        assert len(tapped(480, Seconds(5 + 0.02 * number))) == 480
        echo.put(block(number, number))
    samples = np.concatenate([one.samples for one in delivered.until(50 * 320)])
    assert np.array_equal(samples, np.repeat(np.arange(50), 320))
    assert echo.status is not None
    assert echo.status.state is CancellerState.COLD


def test_after_a_failure_the_microphone_goes_on_with_its_echo(started: Started, capsys: pytest.CaptureFixture[str]):
    echo, delivered, _ = started
    echo.tapped(pull, Hz(24_000))
    for number in range(10):
        echo.put(block(number, Suppressor.POISON if number == 4 else 100))
    assert [one.start for one in delivered.until(3_200)] == [320 * number for number in range(10)]
    assert [one.linear is None for one in delivered.blocks] == [False] * 4 + [True] * 6
    assert echo.status is None
    assert echo.failures == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_what_the_canceller_holds_when_it_fails_is_counted_as_lost():
    delivered, suppressor = Delivered(), Suppressor()
    suppressor.delay = 224
    echo = EchoThread(suppressor, delivered.blocks.append)
    echo.tapped(pull, Hz(24_000))
    for number in range(5):
        echo.put(block(number, Suppressor.POISON if number == 4 else 100))
    delivered.until(5 * 320 - 224)
    echo.close()
    assert echo.lost == 224
    assert delivered.blocks[-1].start == 4 * 320
    assert sum(len(one.samples) for one in delivered.blocks) == 5 * 320 - 224


def test_a_block_that_cannot_be_delivered_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]):
    delivered = Delivered()

    def deliver(one: Block) -> None:
        if one.start == 320:
            raise ValueError("a bug")
        delivered.blocks.append(one)

    echo = EchoThread(Suppressor(), deliver)
    for number in range(3):
        echo.put(block(number))
    assert [one.start for one in delivered.until(640)] == [0, 640]
    echo.close()
    assert (echo.failures, echo.lost) == (1, 320)
    assert capsys.readouterr().err.count("\n") == 1


def test_blocks_that_find_no_room_are_counted_and_never_waited_for(started: Started):
    echo, delivered, suppressor = started
    echo.tapped(pull, Hz(24_000))
    suppressor.gate.clear()
    begun_at = time.monotonic()
    for number in range(MAX_BLOCKS + 20):
        echo.put(block(number))
    assert time.monotonic() - begun_at < 1
    assert 18 * 320 <= echo.lost <= 20 * 320
    suppressor.gate.set()
    assert len(delivered.until((MAX_BLOCKS + 20) * 320 - echo.lost)) >= MAX_BLOCKS
