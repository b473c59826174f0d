"""Guarantees of the systemd units for the services that they run."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
DAEMON, SERVER = "appliance.service", "appliance-provisiond.service"


def directives(name: str) -> dict[str, list[str]]:
    """Return what a unit sets; of a list, all of it."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, is_set, value = line.partition("=")
        if is_set and not line.startswith("#"):
            found.setdefault(key, []).extend(value.split())
    return found


@pytest.mark.parametrize("name", [DAEMON, SERVER])
def test_nothing_is_imported_from_a_home_and_nothing_of_memory_reaches_a_disk(name):
    unit = directives(name)
    assert "PYTHONNOUSERSITE=1" in unit["Environment"]
    assert (unit["MemorySwapMax"], unit["LimitCORE"]) == (["0"], ["0"])
    assert int(unit["LimitNOFILE"][0]) >= 1024


def test_the_daemon_may_listen_on_no_port():
    assert directives(DAEMON)["SocketBindDeny"] == ["any"]


@pytest.mark.parametrize("name", [DAEMON, SERVER])
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_knows_every_directive_and_finds_little_exposed(name):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(UNITS / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.strip().splitlines()[-1]
    assert "Unknown" not in done.stderr
