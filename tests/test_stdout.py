"""Results on a standard output that takes no more."""

import io
import json
import os
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from rich.table import Table

from appliance.errors import ExitCode, InputError
from appliance.stdout import show, show_json


def _table() -> Table:
    table = Table("setting", "value")
    table.add_row("live.voice", "Kore")
    return table


def test_a_result_is_printed_for_people_and_for_programs():
    with redirect_stdout(io.StringIO()) as out:
        show(_table())
    assert "Kore" in out.getvalue()
    with redirect_stdout(io.StringIO()) as out:
        show_json({"voice": "Kore"})
    assert json.loads(out.getvalue()) == {"voice": "Kore"}


@pytest.mark.parametrize("print_it", [lambda: show(_table()), lambda: show_json({"voice": "Kore"})])
def test_a_full_disk_is_one_line(print_it):
    with (
        Path("/dev/full").open("w", encoding="utf-8") as full,
        redirect_stdout(full),
        pytest.raises(InputError, match="No space left on device") as caught,
    ):
        print_it()
    assert caught.value.exit_code is ExitCode.CANNOT_WRITE


@pytest.mark.parametrize("print_it", [lambda: show(_table()), lambda: show_json({"voice": "Kore"})])
def test_a_reader_that_has_seen_enough_is_no_failure(print_it):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, redirect_stdout(pipe):
        print_it()
