"""Step: can the appliance be installed on this machine?"""

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
from appliance.install.step import Need, Plan, Step, StepFailed

ARCHITECTURES: Final = ("aarch64", "x86_64")
"""Those for which the libraries have wheels."""
SYSTEMS: Final = ("12", "13")
"""Versions of Debian, and of Raspberry Pi OS with it."""
PYTHONS: Final = ((3, 11), (3, 12), (3, 13))
NEEDED_MB: Final = 900
"""For one more release, which takes half of it; more is needed while it is built and the oldest is still there."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The relevant facts about a machine."""

    architecture: str
    python: tuple[int, int]
    free_mb: int
    now: float
    """Its clock, in seconds since 1970."""
    made: float
    """When this software was built or copied here."""

    @classmethod
    def of(cls, machine: Machine, source: Path) -> "Facts":
        """Return the facts about this machine."""
        return cls(
            architecture=os.uname().machine,
            python=sys.version_info[:2],
            free_mb=shutil.disk_usage(_nearest(machine.at(HOME))).free // 2**20,
            now=time.time(),
            made=(source / "uv.lock").stat().st_mtime,
        )


class Preconditions(Step):
    """Checks, and changes nothing."""

    name = "machine"
    doing = "looking at the machine"

    def __init__(self, machine: Machine, facts: Facts, needed_mb: int = NEEDED_MB, *, start_now: bool) -> None:
        """``needed_mb`` of the disk have to be free."""
        self._machine = machine
        self._facts = facts
        self._start_now = start_now
        self._needed_mb = needed_mb

    def check(self) -> Plan:
        """Describe the machine; raises StepFailed with everything that is wrong."""
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
        if self._start_now and not self._machine.is_booted():
            yield "systemd is not running: in a chroot, use --no-start"

    def _model(self) -> str:
        try:
            return self._machine.at("/proc/device-tree/model").read_text(encoding="ascii").rstrip("\0\n")
        except (OSError, UnicodeDecodeError):
            return self._facts.architecture


def _nearest(folder: Path) -> Path:
    """Return a folder, or its nearest existing parent."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _system(machine: Machine) -> dict[str, str]:
    """Return the entries of os-release(5)."""
    try:
        lines = machine.at("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip("\"'") for name, _, value in pairs}


def _is_debian(system: dict[str, str]) -> bool:
    return system.get("ID") in {"debian", "raspbian"}
