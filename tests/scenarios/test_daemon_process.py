"""The daemon as systemd runs it: a process, a notification socket, a signal."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.cli import main as cli
from appliance.errors import ExitCode
from appliance.provisioning.common.keys import new_private_key, private_key, public_key_text
from tests.support.units import service

pytestmark = pytest.mark.realtime

PATIENCE_S = 30.0


def configuration(folder: Path) -> Path:
    key = folder / "device.pem"
    key.write_text(new_private_key())
    silence = folder / "silence.wav"
    silence.write_bytes(_wav_header(16_000 * 60) + bytes(2 * 16_000 * 60))
    file = folder / "appliance.toml"
    file.write_text(f"""
[microphone]
kind = "wav"
path = "{silence}"
[speaker]
kind = "wav"
path = "{folder / "reply.wav"}"
[indicator]
kind = "terminal"
[button]
kind = "none"
[provisioning]
url = "https://127.0.0.1:9"
device_id = "kitchen"
device_key_file = "{key}"
server_keys = ["{public_key_text(private_key(new_private_key()))}"]
""")
    return file


def _wav_header(samples: int) -> bytes:
    size = 2 * samples
    form = (16).to_bytes(4, "little") + bytes.fromhex("0100 0100 803e0000 007d0000 0200 1000")
    return b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt " + form + b"data" + size.to_bytes(4, "little")


@contextmanager
def daemon(config: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "run", "--config", str(config)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_systemd_hears_ready_and_stopping_and_sigterm_ends_it_before_systemd_would_kill_it(tmp_path: Path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(PATIENCE_S)
        with daemon(configuration(tmp_path), NOTIFY_SOCKET=str(address), WATCHDOG_USEC="4000000") as process:
            said = []
            while "READY=1" not in said:
                said.append(systemd.recv(4096).decode())
            process.send_signal(signal.SIGTERM)
            asked_at = time.monotonic()
            _, error = process.communicate(timeout=PATIENCE_S)
            took_s = time.monotonic() - asked_at
        systemd.settimeout(0.1)
        while "STOPPING=1" not in said:
            said.append(systemd.recv(4096).decode())
    assert process.returncode == ExitCode.OK, error
    assert took_s < float(service()["TimeoutStopSec"][0])
    assert "STATUS=idle" in said
    assert "Traceback" not in error


DEAD_NAME_SERVER = "import socket, time\nsocket.getaddrinfo = lambda *_, **__: time.sleep(60)\n"
"""In ``sitecustomize.py``, Python runs it at the start of every program."""


@pytest.mark.slow
def test_a_name_server_that_does_not_answer_holds_up_no_end(tmp_path: Path):
    config = configuration(tmp_path)
    config.write_text(config.read_text().replace("127.0.0.1:9", "nas.example"))
    (tmp_path / "sitecustomize.py").write_text(DEAD_NAME_SERVER)
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(PATIENCE_S)
        surroundings = {"NOTIFY_SOCKET": str(address), "RUNTIME_DIRECTORY": str(tmp_path), "PYTHONPATH": str(tmp_path)}
        with daemon(config, **surroundings) as process:
            while systemd.recv(4096) != b"READY=1":
                pass
            assert cli.run(["say", "--runtime", str(tmp_path), "Good morning"]) == ExitCode.OK
            while systemd.recv(4096) != b"STATUS=connecting":
                pass
            time.sleep(0.5)  # the lookup is under way
            process.send_signal(signal.SIGTERM)
            asked_at = time.monotonic()
            _, error = process.communicate(timeout=PATIENCE_S)
            took_s = time.monotonic() - asked_at
    assert process.returncode == ExitCode.OK, error
    assert took_s < 8.0  # 2 s on a machine that has the time


def test_a_missing_recording_ends_it_at_the_start_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = configuration(tmp_path)
    (tmp_path / "silence.wav").unlink()
    assert cli.run(["run", "--config", str(config)]) == ExitCode.NO_INPUT
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("appliance: error: ")
    assert "does not exist" in last


def test_without_pins_and_not_enrolled_it_stays_up_and_tells_each_once(tmp_path: Path):
    config = configuration(tmp_path)
    before, *_ = config.read_text().partition("[provisioning]")
    config.write_text(before.replace('kind = "terminal"', 'kind = "gpio"').replace('kind = "none"', 'kind = "gpio"'))
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this machine has pins")
    address = tmp_path / "notify"
    surroundings = {"NOTIFY_SOCKET": str(address), "STATE_DIRECTORY": str(tmp_path / "state")}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(PATIENCE_S)
        with daemon(config, **surroundings) as process:
            while systemd.recv(4096) != b"STATUS=fault: button, enrolment, light":
                pass
            time.sleep(2.5)  # until the second try
            process.send_signal(signal.SIGTERM)
            _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ExitCode.OK, error
    assert error.count("the GPIO chip cannot be opened") == 2, "the light and the button"
    assert error.count("this device is not enrolled") == 1
    assert "Traceback" not in error
