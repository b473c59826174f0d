"""The unit file: what the daemon relies on, and that systemd understands all of it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.errors import ExitCode
from appliance.provisioning.server.settings import CREDENTIAL
from tests.support.units import SERVER, SYSTEMD, UNIT, service

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: apt-get install systemd"
)

RELIED_ON = {
    "Type": "notify",  # notify-reload is unknown before systemd 253
    "NotifyAccess": "main",
    "ExecStart": "/opt/voice-appliance/current/bin/appliance run --config /etc/voice-appliance/appliance.toml",
    "WatchdogSec": "20",
    "TimeoutStopSec": "5",
    "Restart": "on-failure",
    "RestartPreventExitStatus": str(ExitCode.CONFIGURATION.value),
    "User": "voice-appliance",
    "SupplementaryGroups": "audio gpio",
    "StateDirectory": "voice-appliance",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "DevicePolicy": "closed",
    "MemoryDenyWriteExecute": "no",  # the sound library's callbacks need it
    "ProcSubset": "all",  # gpiozero reads /proc/cpuinfo
    "RestrictRealtime": "no",  # audio runs with real-time priority
    "LimitRTPRIO": "70",
    "LimitCORE": "0",  # a core holds tokens and what was said
}


def test_what_the_daemon_relies_on_is_there():
    found = service()
    assert {key: found[key] for key in RELIED_ON} == {key: [value] for key, value in RELIED_ON.items()}


def test_the_daemon_reaches_its_devices_and_the_service_manager():
    assert set(service()["DeviceAllow"]) == {"char-alsa rw", "char-gpiochip rw"}
    assert "AF_UNIX" in service()["RestrictAddressFamilies"][0].split()


def test_the_daemon_starts_without_a_credential():
    # systemd does not start a unit whose credential is missing, and the key of an enrolled device is in its state.
    assert "LoadCredential" not in service()


def test_the_server_has_its_api_key_as_a_credential_alone():
    found = service(SERVER)
    names = {value.partition(":")[0] for value in found["LoadCredential"]}
    assert names == {CREDENTIAL}
    assert "KEY=/" not in str(found["Environment"])
    assert found["LimitCORE"] == ["0"]


@pytest.mark.parametrize("unit", [UNIT, SERVER])
def test_nothing_is_used_that_systemd_252_does_not_know(unit: Path):
    assert not {"RestartSteps", "RestartMaxDelaySec", "ReloadSignal", "ImportCredential"} & service(unit).keys()


@pytest.fixture(params=[UNIT, SERVER], ids=["appliance", "provisiond"])
def installable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit with a program that exists."""
    unit: Path = request.param
    copy = tmp_path / unit.name
    (start,) = service(unit)["ExecStart"]
    copy.write_text(unit.read_text(encoding="utf-8").replace(start, "/bin/true"), encoding="utf-8")
    return copy


@needs_systemd
def test_systemd_understands_every_line(installable: Path):
    done = subprocess.run(["systemd-analyze", "verify", installable], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if installable.name in line]
    assert (done.returncode, complaints) == (0, [])


@needs_systemd
def test_systemd_finds_the_exposure_low(installable: Path):
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(installable)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_user_of_the_server_is_made():
    lines = (SYSTEMD / "sysusers.d" / "appliance-provisiond.conf").read_text(encoding="utf-8").splitlines()
    assert [line.split()[:3] for line in lines if not line.startswith("#")] == [["u", *service(SERVER)["User"], "-"]]


def test_the_user_of_the_unit_is_made_with_its_groups():
    lines = (SYSTEMD / "sysusers.d" / "voice-appliance.conf").read_text(encoding="utf-8").splitlines()
    made = [line.split()[:3] for line in lines if not line.startswith("#")]
    (user,) = service()["User"]
    groups = service()["SupplementaryGroups"][0].split()
    assert ["u", user, "-"] in made
    assert all(["m", user, group] in made for group in groups)


@pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed: apt-get install systemd"
)
@pytest.mark.parametrize("name", ["voice-appliance", "appliance-provisiond"])
def test_systemd_makes_the_user(tmp_path: Path, name: str):
    (tmp_path / "etc").mkdir()
    conf = SYSTEMD / "sysusers.d" / f"{name}.conf"
    done = subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", "--dry-run", conf], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_directories_of_the_unit_are_those_that_the_installation_makes():
    lines = (SYSTEMD / "tmpfiles.d" / "voice-appliance.conf").read_text(encoding="utf-8").splitlines()
    made = {line.split()[1]: line.split()[2:5] for line in lines if not line.startswith("#")}
    (user,), (state,), (mode,) = (service()[key] for key in ("User", "StateDirectory", "StateDirectoryMode"))
    assert made[f"/var/lib/{state}"] == [mode, user, user]
    assert made["/etc/voice-appliance"] == ["0755", "root", "root"]
