"""Which machines are fit, and what is said of the others."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import ExitCode
from appliance.install.machine import Machine
from appliance.install.preconditions import NEEDED_MB, Facts, Preconditions
from appliance.install.step import Need, StepFailed
from tests.install.machine import OS_RELEASE

FIT = Facts("aarch64", (3, 13), NEEDED_MB, now=1_800_000_000.0, made=1_790_000_000.0)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.5\0")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(OS_RELEASE)
    return Machine(tmp_path, "")


def test_a_fit_machine_is_described(machine: Machine):
    found = Preconditions(machine, FIT, start_now=True).check()
    assert found.need is Need.NOTHING
    assert found.text == "Raspberry Pi 4 Model B Rev 1.5, Debian GNU/Linux 13 (trixie), Python 3.13, 0.9 GB free"


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (replace(FIT, architecture="armv7l"), "64-bit"),
        (replace(FIT, python=(3, 9)), "Python is 3.9: 3.11, 3.12 or 3.13"),
        (replace(FIT, free_mb=NEEDED_MB - 1), "MB are needed"),
        (replace(FIT, now=0.0), "its clock is wrong (it says 1970)"),
    ],
)
def test_an_unfit_machine_is_told_why(machine: Machine, facts, says):
    with pytest.raises(StepFailed) as caught:
        Preconditions(machine, facts, start_now=True).check()
    assert says in str(caught.value)
    assert caught.value.exit_code == ExitCode.UNFIT


def test_where_nothing_is_to_be_installed_no_room_is_needed(machine: Machine):
    assert Preconditions(machine, replace(FIT, free_mb=3), needed_mb=0, start_now=True).check().need is Need.NOTHING


def test_another_system_is_refused(machine: Machine):
    machine.at("/etc/os-release").write_text('ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n')
    with pytest.raises(StepFailed, match=r"Ubuntu 24\.04: Debian or Raspberry Pi OS 12 or 13"):
        Preconditions(machine, FIT, start_now=True).check()
    machine.at("/etc/os-release").unlink()
    with pytest.raises(StepFailed, match="unknown"):
        Preconditions(machine, FIT, start_now=True).check()


def test_all_that_is_wrong_is_told_at_once(machine: Machine):
    with pytest.raises(StepFailed, match=r"64-bit.*MB are needed"):
        Preconditions(machine, replace(FIT, architecture="armv6l", free_mb=3), start_now=True).check()


def test_without_systemd_it_is_not_started(machine: Machine):
    machine.at("/run/systemd/system").rmdir()
    assert Preconditions(machine, FIT, start_now=False).check().need is Need.NOTHING
    with pytest.raises(StepFailed, match="--no-start"):
        Preconditions(machine, FIT, start_now=True).check()
