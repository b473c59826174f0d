"""A server of the demo does not outlive it, whatever becomes of the demo."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.realtime

PROGRAM = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[1])))
print(__name__, flush=True)
signal.pause()
"""


def test_a_program_gets_sigterm_when_its_starter_is_gone(tmp_path: Path):
    (tmp_path / "patient.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "appliance.demo.run_with_parent", "patient", "7"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": str(tmp_path)}
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"__main__\n"
        process.stdin.close()
        assert process.wait(timeout=30) == 7
