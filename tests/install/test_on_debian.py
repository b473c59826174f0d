"""`scripts/provision` on fresh Debians that systemd runs, with a provisioning server and the simulator behind it.

Takes some minutes and a network, the first time more: debootstrap makes the Debians.
"""

import io
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import ExitCode
from appliance.install.enrolment import enrolled_as
from appliance.install.machine import Machine
from appliance.provisioning.common.protocol import ProblemCode
from tests.install.debian import SOURCE, Debian, booted, fresh_root, in_image, missing, remove
from tests.install.outside import World, world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realtime,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
JOIN = "/root/join"
STATE = "/var/lib/voice-appliance"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture(params=["bookworm", "trixie"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path, outside: World) -> Iterator[Debian]:
    """A machine with a file for a microphone, and without lights and button."""
    root = fresh_root(request.param, tmp_path)
    with booted(root) as machine:
        folder = "/etc/voice-appliance"
        machine.write(f"{folder}/silence.wav", _silence())
        machine.write(f"{folder}/server-ca.pem", outside.trusted.read_bytes())
        machine.write(f"{folder}/live-ca.pem", outside.live_trusted.read_bytes())
        machine.write(
            f"{folder}/appliance.toml.d/test.toml",
            f'[microphone]\nkind = "wav"\npath = "{folder}/silence.wav"\nthen_silence_s = 3600\n'
            '[speaker]\nkind = "wav"\npath = "/run/voice-appliance/heard.wav"\n'
            '[indicator]\nkind = "none"\n[button]\nkind = "none"\n'
            f'[provisioning]\nca_file = "{folder}/server-ca.pem"\n[live]\nca_file = "{folder}/live-ca.pem"\n',
        )
        yield machine
    remove(root)


def _silence() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    return buffer.getvalue()


def test_from_a_fresh_system_to_an_appliance_that_runs(fresh: Debian, outside: World):
    untouched = fresh.fingerprint()
    assert fresh.provision("--dry-run").returncode == ExitCode.OK
    assert fresh.fingerprint() == untouched

    join = outside.join_string()
    fresh.write(JOIN, join, 0o600)
    done = fresh.provision("--join-file", JOIN)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert "Live session  ok" in done.stdout
    assert outside.devices()[_device(fresh)] == "active"
    assert fresh.says("systemctl", "is-active", "appliance") == "active"
    assert fresh.says("systemctl", "is-enabled", "appliance") == "enabled"
    assert fresh.says("grep", "-rlF", join, "/etc", "/opt", "/var", "/run") == ""
    _talks(fresh, outside)

    after = fresh.fingerprint()
    began = fresh.says("systemctl", "show", "-P", "ExecMainStartTimestampMonotonic", "appliance")
    again = fresh.provision("--join-file", JOIN)
    assert again.returncode == ExitCode.OK
    assert "nothing was changed" in again.stdout
    assert fresh.fingerprint() == after
    assert fresh.says("systemctl", "show", "-P", "ExecMainStartTimestampMonotonic", "appliance") == began

    _owns(fresh)
    _enrol_again(fresh, outside)
    _upgrade(fresh)


def _device(machine: Debian) -> str:
    """Return what the server calls it."""
    return str(enrolled_as(Machine(machine.root, "")))


def _talks(machine: Debian, outside: World) -> None:
    """The daemon, as its user, gets a token for the device that has enrolled, and an answer with it."""
    device = _device(machine)
    pid = machine.says("systemctl", "show", "-P", "MainPID", "appliance")
    assert machine.says("stat", "-c", "%U", f"/proc/{pid}") == "voice-appliance"
    kept = machine.says("find", STATE, "-printf", "%u %m %y %f\\n").splitlines()
    assert {"voice-appliance 700 d voice-appliance", "voice-appliance 600 f identity.json"} <= set(kept)
    assert all(line.startswith("voice-appliance ") for line in kept), kept

    sessions, answers = outside.sessions(device), _answers(machine)
    said = machine.run("appliance", "say", "What time is it?")
    assert said.returncode == ExitCode.OK, said.stderr
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _answers(machine) == answers:
        time.sleep(0.5)
    assert _answers(machine) > answers, machine.says("journalctl", "-u", "appliance", "-n", "20", "-o", "cat")
    assert outside.sessions(device) > sessions


def _answers(machine: Debian) -> int:
    """Return how many answers the daemon has begun to play."""
    return machine.says("journalctl", "-u", "appliance", "-o", "cat").count("first_reply_chunk_to_speaker")


def _owns(machine: Debian) -> None:
    """An owner looks at the device, and gives it another key, as root; the daemon goes on with that."""
    assert "provisioning" in machine.says("appliance", "doctor")
    assert machine.run("appliance", "enrol").returncode == ExitCode.UNAVAILABLE  # the daemon has the key
    machine.run("systemctl", "stop", "appliance")
    rotated = machine.run("appliance", "rotate-key")
    assert rotated.returncode == ExitCode.OK, rotated.stderr
    assert f"enrolled, as {_device(machine)}" in machine.says("appliance", "enrol")
    assert machine.run("systemctl", "start", "appliance").returncode == 0


def _enrol_again(machine: Debian, outside: World) -> None:
    """The owner has the device forgotten, and enrols it as root, with a claim whose devices have to be approved."""
    before = _device(machine)
    machine.run("systemctl", "stop", "appliance")
    assert machine.run("appliance", "forget", "--yes").returncode == ExitCode.OK
    assert outside.devices()[before] == "revoked"
    machine.write(JOIN, outside.join_string("--approval"), 0o600)
    done = machine.run("appliance", "enrol", "--join-file", JOIN)
    assert done.returncode == ExitCode.OK, done.stderr
    assert outside.devices()[_device(machine)] == "pending"

    untold = machine.provision()
    assert untold.returncode == ExitCode.UNFIT, untold.stdout + untold.stderr
    assert ProblemCode.DEVICE_PENDING in untold.stdout
    outside.admin("devices", "approve", _device(machine))
    approved = machine.provision()
    assert approved.returncode == ExitCode.OK, approved.stdout + approved.stderr
    _talks(machine, outside)


def _upgrade(machine: Debian) -> None:
    """A release that does not start is taken back; one that does takes the place of the one before."""
    current = machine.says("readlink", "/opt/voice-appliance/current")
    daemon = (machine.root / SOURCE[1:] / "appliance/daemon.py").read_bytes()
    broken = daemon.replace(b"    async def run(self)", b"    async def run(self, missing)", 1)
    assert broken != daemon
    machine.write(f"{SOURCE}/appliance/daemon.py", broken)
    failed = machine.provision()
    assert (failed.returncode, "TypeError" in failed.stderr) == (ExitCode.BUG, True), failed.stderr
    assert machine.says("readlink", "/opt/voice-appliance/current") == current
    assert machine.says("systemctl", "is-active", "appliance") == "active"

    machine.write(f"{SOURCE}/appliance/daemon.py", daemon + b"# another edition\n")
    assert machine.provision().returncode == ExitCode.OK
    assert machine.says("readlink", "/opt/voice-appliance/current") != current
    assert machine.says("systemctl", "is-active", "appliance") == "active"


def test_what_goes_wrong_is_one_line_and_its_code(fresh: Debian, outside: World):
    join = outside.join_string()
    fresh.write(JOIN, join, 0o600)

    def fails(*command: str) -> tuple[int, str]:
        done = fresh.run(*command, f"{SOURCE}/scripts/provision", "--join-file", JOIN)
        assert done.stderr.count("\n") == 1, done.stderr
        assert fresh.run("systemctl", "is-active", "appliance").returncode != 0
        return done.returncode, done.stderr

    code, said = fails("unshare", "--net")
    assert (code, "is the network up?" in said) == (ExitCode.UNAVAILABLE, True)
    full = "mkdir -p /opt; mount -t tmpfs -o size={size},nr_inodes={inodes} none /opt"
    for size, inodes, expected in (
        ("100m", 100_000, ExitCode.UNFIT),
        ("1500m", 500, ExitCode.CANNOT_WRITE),
        ("1500m", 6_000, ExitCode.CANNOT_WRITE),
    ):
        fresh.run("sh", "-c", full.format(size=size, inodes=inodes))
        code, said = fails("env")
        assert code == expected, said
        fresh.run("umount", "/opt")
    for damaged in (join[:-2] + "xx", "nothing of the kind"):
        fresh.write(JOIN, damaged, 0o600)
        code, said = fails("env")
        assert (code, "join string" in said) == (ExitCode.DATA, True)


def test_an_image_is_made_without_starting_anything(tmp_path: Path):
    root = fresh_root("trixie", tmp_path)
    done = in_image(root, f"{SOURCE}/scripts/provision", "--no-start")
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert (root / "etc/systemd/system/multi-user.target.wants/appliance.service").is_symlink()
    assert list((root / STATE[1:]).iterdir()) == []
    remove(root)
