"""Signals, sent to a real process."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance.service.signals import stop_signals

pytestmark = pytest.mark.realtime

PROGRAM = """
import asyncio, os, sys, time
from appliance.service.signals import stop_signals

async def main():
    asked, insisted = asyncio.Event(), asyncio.Event()
    on_second = insisted.set if "insisted" in {then!r} else None
    with stop_signals(lambda: (print("asked", flush=True), asked.set()), on_second):
        print("up", flush=True)
        await asked.wait()
        {then}
    print("down")

asyncio.run(main())
"""


@contextmanager
def program(then: str) -> Iterator[subprocess.Popen[str]]:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", PROGRAM.format(then=then)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=buffered)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_asks_the_daemon_to_stop(number: signal.Signals):
    with program("pass") as process:
        process.send_signal(number)
        assert process.wait(10) == 0
        assert [line(process), line(process)] == ["asked\n", "down\n"]


def test_the_second_signal_ends_the_process_though_the_loop_hangs():
    with program("sys.stdout.write('last words'); os.write(1, b'hanging\\n'); time.sleep(60)") as process:
        process.send_signal(signal.SIGTERM)
        assert [line(process), line(process)] == ["asked\n", "hanging\n"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 1
        assert line(process) == "last words"


def test_one_that_insists_may_be_heard_before_the_process_is_ended():
    then = "os.write(1, b'ending\\n'); await insisted.wait(); os.write(1, b'hanging\\n'); time.sleep(60)"
    with program(then) as process:
        process.send_signal(signal.SIGINT)
        assert [line(process), line(process)] == ["asked\n", "ending\n"]
        process.send_signal(signal.SIGINT)
        assert line(process) == "hanging\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 1


def test_a_terminal_that_is_closed_may_say_so_twice():
    with program("os.write(1, b'ending\\n'); await asyncio.sleep(0.2)") as process:
        process.send_signal(signal.SIGHUP)
        assert [line(process), line(process)] == ["asked\n", "ending\n"]
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) == 0
        assert line(process) == "down\n"


def test_hanging_up_is_ignored_where_it_was_before():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with program("pass") as process:
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_the_handlers_are_as_before_when_it_is_over():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    asked: list[str] = []

    with stop_signals(lambda: asked.append("stop")):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)
    assert asked == ["stop"]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
