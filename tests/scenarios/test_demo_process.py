"""The demo as people run it: a process, and Ctrl-C."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import ExitCode

pytestmark = [pytest.mark.realtime, pytest.mark.slow]


@pytest.mark.parametrize("times", [1, 2])
def test_the_report_is_written_however_often_ctrl_c_is_pressed(tmp_path: Path, times: int):
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "appliance", "demo", "--report", str(report)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while "speaking" not in process.stdout.readline():
                assert process.poll() is None
            for _ in range(times):
                process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == ExitCode.OK, error
    assert f"wrote {report}" in out
    assert json.loads(report.read_text())["trouble"] == "stopped by a signal before it was over"
