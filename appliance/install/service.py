"""Step: the release becomes the current one, and systemd runs it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance.errors import ExitCode
from appliance.install.files import read, restore, write
from appliance.install.machine import Machine
from appliance.install.release import CURRENT, Release
from appliance.install.step import Need, Plan, Start, Step, StepFailed
from appliance.storage.atomic import sync_directory

UNIT: Final = "appliance.service"
UNIT_FILE: Final = f"/etc/systemd/system/{UNIT}"
PROGRAM: Final = "/usr/local/bin/appliance"
"""Leads people to the program of the current release; whatever else is there stays."""
STARTED: Final = "started"
"""An empty file in a release whose daemon got ready once: one to go back to."""
_PROGRAM_OF_RELEASE: Final = Path(CURRENT, "bin", "appliance")


class Service(Step):
    """Switches ``current``, installs and enables the unit, and waits until the daemon says that it is ready.

    A release that does not get ready is taken back, and the one before it started again.
    """

    name = "service"
    doing = "starting the appliance"

    def __init__(self, machine: Machine, source: Path, release: Release, start: Start) -> None:
        self._machine = machine
        self._release = release
        self._start = start
        self._link = machine.at(CURRENT)
        self._unit = (source / "systemd" / UNIT).read_bytes()
        self._target = Path("releases", release.version)
        self._program = machine.at(PROGRAM)
        self._before: tuple[Path | None, bytes | None] = (None, None)

    def check(self) -> Plan:
        """Look at the link, the unit, and what systemd says of it."""
        missing = [what for what, is_so in self._state() if not is_so]
        if not missing:
            return Plan(Need.NOTHING, f"{self._release.version} {'runs' if self._is_now() else 'is installed'}")
        return Plan(Need.CHANGE, f"{', '.join(missing)}: {self._release.version}")

    def apply(self) -> None:
        """Switch, enable, start; raises StepFailed."""
        self._before = (_target(self._link), read(self._machine.at(UNIT_FILE)))
        _point(self._link, self._target)
        write(self._machine.at(UNIT_FILE), self._unit)
        if not os.path.lexists(self._program):
            self._program.parent.mkdir(parents=True, exist_ok=True)
            self._program.symlink_to(_PROGRAM_OF_RELEASE)
        self._reload()
        self._machine.run("systemctl", "enable", UNIT)
        if self._is_now():
            self._restart()
            write(self._release.folder / STARTED, b"")

    def undo(self) -> None:
        """Bring link and unit back, and the daemon that ran before."""
        target, unit = self._before
        if unit is None:
            with suppress(StepFailed):
                self._machine.run("systemctl", "disable", *(["--now"] if self._is_now() else []), UNIT)
        if target is None:
            self._link.unlink(missing_ok=True)
            if _target(self._program) == _PROGRAM_OF_RELEASE:
                self._program.unlink()
        else:
            _point(self._link, target)
        restore(self._machine.at(UNIT_FILE), unit)
        self._reload()
        if unit is not None and self._is_now():
            self._machine.run("systemctl", "restart", UNIT)

    def _state(self) -> list[tuple[str, bool]]:
        """Return what has to be done where it is not so."""
        asked = [
            ("switch", _target(self._link) == self._target),
            ("install the unit", read(self._machine.at(UNIT_FILE)) == self._unit),
            ("put `appliance` on the path", os.path.lexists(self._program)),
            ("enable", self._machine.ask("systemctl", "is-enabled", UNIT).code == 0),
        ]
        if self._is_now():
            asked.append(("start", self._machine.ask("systemctl", "is-active", UNIT).code == 0))
        return asked

    def _restart(self) -> None:
        """Return when the daemon is ready; raises StepFailed with what its last words were."""
        try:
            self._machine.run("systemctl", "restart", UNIT)
        except StepFailed:
            status = self._machine.ask("systemctl", "show", "-P", "ExecMainStatus", UNIT).output.strip()
            said = self._last_words()
            code = next((code for code in ExitCode if str(code.value) == status and code), ExitCode.BUG)
            raise StepFailed(f"the daemon does not start: {said}; journalctl -u {UNIT} tells more", code) from None

    def _last_words(self) -> str:
        """Return the daemon's last line; where it did not say anything, systemd's about it."""
        last = ("journalctl", "-n", "1", "-o", "cat", "--no-pager", "-q")
        own = self._machine.ask(*last, f"_SYSTEMD_UNIT={UNIT}")
        return own.reason() if own.output.strip() else self._machine.ask(*last, "-u", UNIT).last_line()

    def _reload(self) -> None:
        if self._machine.is_booted():
            self._machine.run("systemctl", "daemon-reload")

    def _is_now(self) -> bool:
        return self._start is Start.NOW


def _target(link: Path) -> Path | None:
    """Return where a link leads; None where there is none."""
    return link.readlink() if link.is_symlink() else None


def _point(link: Path, target: Path) -> None:
    """Make a link lead elsewhere, in one step: at no moment is there none."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    sync_directory(link.parent)
