"""A standard output that is gone disturbs nobody, not even the interpreter's end."""

import io
import os
from pathlib import Path

from appliance.demo.best_effort_stdout import BestEffortStdout


def test_what_is_written_arrives():
    stream = io.StringIO()
    print("light", file=BestEffortStdout(stream), flush=True)
    assert stream.getvalue() == "light\n"


def test_a_pipe_that_nobody_reads_any_more_is_left_alone():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        onlooker = BestEffortStdout(stream)
        print("first", file=onlooker, flush=True)
        os.close(reader)
        for _ in range(3):
            print("more", file=onlooker, flush=True)
        stream.flush()


def test_a_full_disk_is_no_reason_to_stop():
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        print("light", file=BestEffortStdout(stream), flush=True)


def test_a_process_without_a_standard_output_has_an_onlooker_all_the_same():
    onlooker = BestEffortStdout(None)
    print("light", file=onlooker, flush=True)
    assert not onlooker.isatty()
    assert onlooker.encoding


def test_a_stream_that_has_been_closed_meanwhile_disturbs_nobody():
    stream = io.StringIO()
    onlooker = BestEffortStdout(stream)
    stream.close()
    print("light", file=onlooker, flush=True)
    onlooker.close()
