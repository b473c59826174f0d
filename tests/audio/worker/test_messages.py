"""The messages of the audio worker: what was packed is unpacked, and nothing else is a message."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance.audio.cards.alsa import Availability
from appliance.audio.cards.devices import Direction
from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.status import EchoStatus
from appliance.audio.ports import Block, Edge, PlayedPeriod
from appliance.audio.worker import messages
from appliance.audio.worker.messages import (
    MAX_BYTES,
    MAX_SAMPLES,
    Message,
    Scheduling,
    WireError,
    WorkerConfig,
    pack,
    unpack,
)
from appliance.units import SampleIndex, Seconds

SAMPLES = arrays(np.int16, st.integers(0, 500))
MOMENT = st.floats(0, 1e9)
NUMBER = st.integers(0, 2**60)
TEXT = st.text(max_size=200)
DIRECTION = st.sampled_from(Direction)
MESSAGES = st.one_of(
    st.builds(messages.QueueSamples, SAMPLES),
    st.just(messages.Complete()),
    st.just(messages.Flush()),
    st.builds(messages.Sound, SAMPLES, st.booleans()),
    st.builds(messages.Gain, st.floats(0, 1)),
    st.builds(
        messages.Opened, DIRECTION, st.sampled_from(Scheduling), NUMBER, st.integers(1, 8), NUMBER, MOMENT, MOMENT, TEXT
    ),
    st.builds(messages.Refused, DIRECTION, st.sampled_from(Availability), TEXT),
    st.builds(messages.Lost, DIRECTION, TEXT),
    st.builds(Block, NUMBER, SAMPLES, MOMENT),
    SAMPLES.map(lambda samples: Block(SampleIndex(7), samples, Seconds(1.0), samples[::-1])),
    st.builds(EchoStatus, st.sampled_from(CancellerState), MOMENT, st.none() | MOMENT, MOMENT),
    st.builds(PlayedPeriod, MOMENT, NUMBER, st.integers(0, 9_999), st.sampled_from(Edge)),
    st.builds(messages.PeriodIncreased, st.sampled_from(messages.PERIODS_MS)),
    st.builds(messages.Heartbeat, *[NUMBER] * 7, *[st.floats(-1000, 1000)] * 3),
)


def fields(message: Message) -> list[object]:
    values = [getattr(message, name) for name in message.__slots__]
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]


@settings(max_examples=300)
@given(MESSAGES)
def test_what_was_packed_is_unpacked(message: Message):
    datagram = pack(message)
    assert len(datagram) <= MAX_BYTES
    again = unpack(datagram)
    assert type(again) is type(message)
    assert fields(again) == fields(message)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_a_datagram_that_is_no_message_is_refused(datagram: bytes):
    try:
        message = unpack(datagram)
    except WireError:
        return
    assert isinstance(message, Message)


@pytest.mark.parametrize(
    "datagram",
    [b"", b"\xff", b"\x04", pack(messages.Flush()) + b"x", pack(messages.QueueSamples(np.zeros(2, np.int16)))[:-1]],
)
def test_truncated_and_foreign_datagrams_are_no_messages(datagram: bytes):
    with pytest.raises(WireError):
        unpack(datagram)


def test_a_long_reply_is_sent_in_pieces_that_fit():
    samples = np.arange(30_000, dtype=np.int16)
    parts = messages.pieces(samples)
    assert np.array_equal(np.concatenate(parts), samples)
    assert all(len(pack(messages.QueueSamples(part))) <= MAX_BYTES for part in parts)
    assert len(parts[0]) == MAX_SAMPLES
    assert messages.pieces(samples[:0]) == []


def test_the_configuration_survives_the_command_line():
    config = WorkerConfig('a "card"', None, 20, 0.1, aec=Aec.WEBRTC)
    assert WorkerConfig.parse(config.document()) == config
