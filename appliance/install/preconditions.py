"""Step: is this a machine that the appliance can be installed on?"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import ExitCode
from appliance.install.machine import Machine
from appliance.install.release import HOME
from appliance.install.step import Need, Plan, Start, Step, StepFailed

ARCHITECTURES: Final = ("aarch64", "x86_64")
"""Those that the libraries have wheels for."""
SYSTEMS: Final = ("12", "13")
"""Versions of Debian, and of Raspberry Pi OS with it."""
PYTHONS: Final = ((3, 11), (3, 12), (3, 13))
NEEDED_MB: Final = 900
"""For another release: it takes half of it; while it is made, and until an older one is removed, there is more."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a machine matters."""

    architecture: str
    python: tuple[int, int]
    free_mb: int
    now: float
    """What its clock says, seconds since 1970."""
    made: float
    """When this software was made or brought here."""

    @classmethod
    def of(cls, machine: Machine, source: Path) -> "Facts":
        """Look at the machine that this runs on."""
        return cls(
            architecture=os.uname().machine,
            python=sys.version_info[:2],
            free_mb=shutil.disk_usage(_nearest(machine.at(HOME))).free // 2**20,
            now=time.time(),
            made=(source / "uv.lock").stat().st_mtime,
        )


class Preconditions(Step):
    """Looks, and changes nothing."""

    name = "machine"
    doing = "looking at the machine"

    def __init__(self, machine: Machine, facts: Facts, start: Start, needed_mb: int = NEEDED_MB) -> None:
        """``needed_mb`` of the disk have to be free."""
        self._machine = machine
        self._facts = facts
        self._start = start
        self._needed_mb = needed_mb

    def check(self) -> Plan:
        """Tell what it is; raises StepFailed with all that is wrong."""
        system = _system(self._machine)
        problems = list(self._problems(system))
        if problems:
            raise StepFailed("; ".join(problems), ExitCode.UNFIT)
        major, minor = self._facts.python
        return Plan(
            Need.NOTHING,
            f"{self._model()}, {system.get('PRETTY_NAME', 'Debian')}, Python {major}.{minor}, "
            f"{self._facts.free_mb / 1024:.1f} GB free",
        )

    def apply(self) -> None:
        """Do nothing."""

    def undo(self) -> None:
        """Do nothing."""

    def _problems(self, system: dict[str, str]) -> Iterator[str]:
        facts = self._facts
        if facts.architecture not in ARCHITECTURES:
            yield f"its architecture is {facts.architecture}: a 64-bit system is needed ({' or '.join(ARCHITECTURES)})"
        if not _is_debian(system) or system.get("VERSION_ID") not in SYSTEMS:
            yield f"its system is {system.get('PRETTY_NAME', 'unknown')}: Debian or Raspberry Pi OS 12 or 13 is needed"
        if facts.python not in PYTHONS:
            yield f"its Python is {'.'.join(map(str, facts.python))}: 3.11, 3.12 or 3.13 is needed"
        if facts.free_mb < self._needed_mb:
            yield f"{facts.free_mb} MB of its disk are free: {self._needed_mb} MB are needed"
        if facts.now < facts.made - 86400:
            year = time.gmtime(facts.now).tm_year
            yield f"its clock is wrong (it says {year}): wait until it is set by the network, or set it with date"
        if self._start is Start.NOW and not self._machine.is_booted():
            yield "systemd does not run it: in a chroot, use --no-start"

    def _model(self) -> str:
        try:
            return self._machine.at("/proc/device-tree/model").read_text(encoding="ascii").rstrip("\0\n")
        except (OSError, UnicodeDecodeError):
            return self._facts.architecture


def _nearest(folder: Path) -> Path:
    """Return a folder, or the nearest above it that exists."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _system(machine: Machine) -> dict[str, str]:
    """Return what os-release(5) says."""
    try:
        lines = machine.at("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, _, value in pairs}


def _is_debian(system: dict[str, str]) -> bool:
    return system.get("ID") in {"debian", "raspbian"}
