"""The light made of text."""

import io
import os
import pty
from contextlib import suppress

from appliance.core.state import State
from appliance.indicator.patterns import look_at
from appliance.indicator.terminal import WIDTH, TerminalLight


def drawn() -> str:
    """Show three looks on a pseudo-terminal and return what came out of it."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        light = TerminalLight(terminal)
        light.show(look_at(State.CONNECTING, 0))
        light.show(look_at(State.LISTENING, 0))
        light.show(look_at(State.LISTENING, 0.04))
        light.close()
        terminal.flush()
        text = b""
        while not text.endswith(b"\n"):  # what was written in pieces may be read in pieces
            text += screen.read(4096)
        return text.decode()


def test_on_a_terminal_one_line_changes_in_place(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = drawn()
    lines = text.split("\r")
    assert "connecting" in lines[0]
    assert "listening".ljust(WIDTH) in lines[1]
    assert "38;2;0;51;255" in lines[0]
    assert text.count("listening") == 1, "a look that is the same is not drawn again"
    assert text.count("\n") == 1
    assert text.endswith("\n")


def test_without_a_terminal_each_change_of_state_is_one_plain_line():
    stream = io.StringIO()
    light = TerminalLight(stream)
    for seconds in (0.0, 0.5, 1.0):
        light.show(look_at(State.THINKING, seconds))
    light.show(look_at(State.SPEAKING, 0))
    light.close()
    assert stream.getvalue() == "thinking\nspeaking\n"


def test_a_stream_that_is_gone_changes_nothing():
    stream = io.StringIO()
    light = TerminalLight(stream)
    stream.close()
    light.show(look_at(State.THINKING, 0))
    light.close()


def test_on_a_closed_output_nothing_is_shown():
    light = TerminalLight(None)
    light.show(look_at(State.THINKING, 0))
    light.close()


def test_a_pipe_that_nobody_reads_changes_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    light = TerminalLight(stream)
    light.show(look_at(State.THINKING, 0))
    light.close()
    with suppress(BrokenPipeError):
        stream.close()
