"""Output files are checked before the demo and written completely or not at all; a lost stdout stops nothing."""

import io
import os
import tempfile
from pathlib import Path

import pytest

from appliance.demo.outputs import BestEffortStdout, check_outputs, temporary_directory, write_output
from appliance.errors import ExitCode, InputError


def refusal(*outputs: Path, recording: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        check_outputs(outputs, recording)
    assert caught.value.exit_code == ExitCode.CANNOT_WRITE
    return str(caught.value)


def test_folders_are_made(tmp_path: Path):
    check_outputs([tmp_path / "a" / "b" / "report.json"], None)
    assert (tmp_path / "a" / "b").is_dir()


def test_only_a_file_is_written_over(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/null"), Path()):
        assert "is not a regular file" in refusal(path)


def test_what_stands_where_a_folder_should_be_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert "it is not a directory" in refusal(tmp_path / "file" / "report.json")


def test_a_name_that_cannot_be_looked_at_or_written_under_is_named(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    for name in ("a" * 300, "a" * 250, "loop"):
        assert f"cannot write {tmp_path / name}: " in refusal(tmp_path / name)


def test_where_no_folder_can_be_made_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="cannot make a temporary directory") as caught, temporary_directory():
        pass
    assert caught.value.exit_code == ExitCode.CANNOT_WRITE


def test_the_recording_is_not_written_over_under_any_name(tmp_path: Path):
    recording, link = tmp_path / "mic.wav", tmp_path / "link.wav"
    recording.write_text("speech")
    link.symlink_to(recording)
    for path in (recording, link, tmp_path / "." / "mic.wav"):
        assert "would overwrite" in refusal(path, recording=recording)
    assert "would overwrite" in refusal(tmp_path / "a", tmp_path / "a")


def test_a_file_is_whole_or_not_there(tmp_path: Path):
    write_output(tmp_path / "report.json", b"{}")
    with pytest.raises(InputError, match="cannot write"):
        write_output(tmp_path / "absent" / "report.json", b"{}")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_output(tmp_path / "folder", b"{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "report.json"]


def test_what_is_written_arrives():
    stream = io.StringIO()
    print("light", file=BestEffortStdout(stream), flush=True)
    assert stream.getvalue() == "light\n"


def test_a_pipe_that_nobody_reads_any_more_is_left_alone():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        stdout = BestEffortStdout(stream)
        print("first", file=stdout, flush=True)
        os.close(reader)
        for _ in range(3):
            print("more", file=stdout, flush=True)
        stream.flush()


def test_a_full_disk_is_no_reason_to_stop():
    with Path("/dev/full").open("w", encoding="utf-8") as stream:
        print("light", file=BestEffortStdout(stream), flush=True)


def test_a_process_without_a_standard_output_has_an_stdout_all_the_same():
    stdout = BestEffortStdout(None)
    print("light", file=stdout, flush=True)
    assert not stdout.isatty()
    assert stdout.encoding


def test_a_stream_that_has_been_closed_meanwhile_disturbs_nobody():
    stream = io.StringIO()
    stdout = BestEffortStdout(stream)
    stream.close()
    print("light", file=stdout, flush=True)
    stdout.close()
