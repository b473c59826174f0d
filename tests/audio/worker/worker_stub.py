"""Stands for the audio worker in the engine's tests: ``worker_stub.py BEHAVIOUR PARENT SOCKET WANTED``."""

import os
import socket
import sys
import time

import numpy as np

from appliance.audio.cards.devices import Direction
from appliance.audio.ports import Block
from appliance.audio.worker.messages import Heartbeat, Message, Opened, Scheduling, pack
from appliance.units import SampleIndex, Seconds

behaviour, descriptor = sys.argv[1], int(sys.argv[3])
connection = socket.socket(fileno=descriptor)


def say(message: Message) -> None:
    connection.send(pack(message))


def now() -> Seconds:
    return Seconds(time.monotonic())


def open_microphone() -> None:
    say(Opened(Direction.INPUT, Scheduling.REAL_TIME, 16_000, 1, 320, 0.3, now(), "stub"))


match behaviour:
    case "dies":
        os._exit(1)
    case "rages":
        while True:
            os.write(2, b"Expression failed\n" * 1000)
    case "nonsense":
        connection.send(b"\xff\xff")
        time.sleep(60)
    case "falls silent":
        open_microphone()
        say(Heartbeat())
        time.sleep(60)
    case "does not read":
        open_microphone()
        while True:
            say(Heartbeat())
            time.sleep(0.05)
    case "loses":
        open_microphone()
        for number in range(1000):
            say(Heartbeat(lost=10 * number))
            time.sleep(0.05)
    case "brings a second":
        open_microphone()
        begun_at = time.monotonic()
        for number in range(10):
            # As a card captures: in step with time, however late a busy machine takes the samples.
            captured_at = Seconds(begun_at + 0.02 * (number + 1))
            time.sleep(max(0.0, captured_at - now()))
            say(Block(SampleIndex(number * 320), np.full(320, number, np.int16), captured_at))
            say(Heartbeat(captured=number * 320))
        os._exit(3)
