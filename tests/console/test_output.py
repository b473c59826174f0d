"""Results on a standard output that takes no more, and results that hold what anybody may have written."""

import io
import json
import os
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from rich.table import Table

from appliance.console.output import SafeConsole, show, show_json, show_text
from appliance.errors import ExitCode, InputError


def _table() -> Table:
    table = Table("setting", "value")
    table.add_row("live.voice", "Kore")
    return table


PRINT = [lambda: show(_table()), lambda: show_text("Kore"), lambda: show_json({"voice": "Kore"})]


def test_a_result_is_printed_for_people_and_for_programs():
    with redirect_stdout(io.StringIO()) as out:
        show(_table())
    assert "Kore" in out.getvalue()
    with redirect_stdout(io.StringIO()) as out:
        show_json({"voice": "Kore"})
    assert json.loads(out.getvalue()) == {"voice": "Kore"}


@pytest.mark.parametrize("text", ["https://[fd00::1]:8443", "kitchen [/left]", "[bold]loud[/]", "12:bell:30"])
def test_what_looks_like_markup_is_shown_as_it_is(text: str):
    table = Table("what")
    table.add_row(text)
    for result in (text, table):
        with redirect_stdout(io.StringIO()) as out:
            show(result)
        assert text in out.getvalue()


def test_a_text_for_programs_is_not_broken():
    text = "[b] :bell: " + "Kore " * 100
    with redirect_stdout(io.StringIO()) as out:
        show_text(text)
    assert out.getvalue() == f"{text}\n"


def test_what_the_encoding_lacks_is_shown_as_an_escape():
    out = io.BytesIO()
    with io.TextIOWrapper(out, encoding="ascii") as stream, redirect_stdout(stream):
        show("Küche")
        assert out.getvalue() == b"K\\xfcche\n"


@pytest.mark.parametrize("print_it", PRINT)
def test_a_full_disk_is_one_line(print_it):
    with (
        Path("/dev/full").open("w", encoding="utf-8") as full,
        redirect_stdout(full),
        pytest.raises(InputError, match="No space left on device") as caught,
    ):
        print_it()
    assert caught.value.exit_code is ExitCode.CANNOT_WRITE


@pytest.mark.parametrize("print_it", PRINT)
def test_a_closed_output_is_no_failure(print_it):
    with redirect_stdout(None):
        assert print_it()


@pytest.mark.parametrize("print_it", PRINT)
def test_a_reader_that_has_seen_enough_is_no_failure(print_it):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, redirect_stdout(pipe):
        assert not print_it()


def test_what_a_terminal_would_obey_is_not_shown_and_styles_are(capsys):
    table = Table("name")
    text = "gpj\u202e.exe \x1b[2J"
    table.add_row(text)
    show(table)
    show(text)
    show_text(text)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.count("gpj.exe [2J") == 2
    assert shown.count(r"gpj\u202e.exe \x1b[2J") == 1
    with io.StringIO() as out:
        SafeConsole(file=out, force_terminal=True, color_system="standard").print("[bold]name[/bold]")
        assert out.getvalue().startswith("\x1b[1mname\x1b[0m")
