"""Step: the release becomes the current one, and systemd runs it."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance.errors import ExitCode
from appliance.install.files import read, restore, write
from appliance.install.machine import Machine
from appliance.install.release import CURRENT, STARTED, Release
from appliance.install.step import Need, Plan, Step, StepFailed
from appliance.storage.atomic import sync_directory

UNIT: Final = "appliance.service"
UNIT_FILE: Final = f"/etc/systemd/system/{UNIT}"
PROGRAM: Final = "/usr/local/bin/appliance"
"""A link to the program of the current release; any other file there is left alone."""
_PROGRAM_OF_RELEASE: Final = Path(CURRENT, "bin", "appliance")


class Service(Step):
    """Switches ``current``, installs and enables the unit, and waits until the daemon reports that it is ready.

    If it does not, the previous release is restored and started again.
    """

    name = "service"
    doing = "starting the appliance"

    def __init__(self, machine: Machine, source: Path, release: Release, *, start_now: bool) -> None:
        self._machine = machine
        self._release = release
        self._start_now = start_now
        self._link = machine.at(CURRENT)
        self._unit = (source / "systemd" / UNIT).read_bytes()
        self._target = Path("releases", release.version)
        self._program = machine.at(PROGRAM)
        self._before: tuple[Path | None, bytes | None] = (None, None)

    def check(self) -> Plan:
        """Check the link, the unit and its state in systemd."""
        missing = [what for what, is_so in self._state() if not is_so]
        if not missing:
            return Plan(Need.NOTHING, f"{self._release.version} {'runs' if self._start_now else 'is installed'}")
        return Plan(Need.CHANGE, f"{', '.join(missing)}: {self._release.version}")

    def apply(self) -> None:
        """Switch, enable, start; raises StepFailed."""
        self._before = (_target(self._link), read(self._machine.at(UNIT_FILE)))
        _replace_link(self._link, self._target)
        write(self._machine.at(UNIT_FILE), self._unit)
        if not os.path.lexists(self._program):
            self._program.parent.mkdir(parents=True, exist_ok=True)
            self._program.symlink_to(_PROGRAM_OF_RELEASE)
        self._reload()
        self._machine.run("systemctl", "enable", UNIT)
        if self._start_now:
            self._restart()
            write(self._release.folder / STARTED, b"")

    def undo(self) -> None:
        """Restore link and unit, and restart the daemon that ran before."""
        target, unit = self._before
        if unit is None:
            with suppress(StepFailed):
                self._machine.run("systemctl", "disable", *(["--now"] if self._start_now else []), UNIT)
        if target is None:
            self._link.unlink(missing_ok=True)
            if _target(self._program) == _PROGRAM_OF_RELEASE:
                self._program.unlink()
        else:
            _replace_link(self._link, target)
        restore(self._machine.at(UNIT_FILE), unit)
        self._reload()
        if unit is not None and self._start_now:
            self._machine.run("systemctl", "restart", UNIT)

    def _state(self) -> list[tuple[str, bool]]:
        """Return each task, and whether it is done."""
        asked = [
            ("switch", _target(self._link) == self._target),
            ("install the unit", read(self._machine.at(UNIT_FILE)) == self._unit),
            ("put `appliance` on the path", os.path.lexists(self._program)),
            ("enable", self._machine.query("systemctl", "is-enabled", UNIT).code == 0),
        ]
        if self._start_now:
            asked.append(("start", self._machine.query("systemctl", "is-active", UNIT).code == 0))
        return asked

    def _restart(self) -> None:
        """Return when the daemon is ready; raises StepFailed with its last log line."""
        try:
            self._machine.run("systemctl", "restart", UNIT)
        except StepFailed:
            status = self._machine.query("systemctl", "show", "-P", "ExecMainStatus", UNIT).output.strip()
            said = self._last_log_line()
            code = next((code for code in ExitCode if str(code.value) == status and code), ExitCode.BUG)
            raise StepFailed(f"the daemon does not start: {said}; see journalctl -u {UNIT}", code) from None

    def _last_log_line(self) -> str:
        """Return the daemon's last log line, or systemd's about it."""
        last = ("journalctl", "-n", "1", "-o", "cat", "--no-pager", "-q")
        own = self._machine.query(*last, f"_SYSTEMD_UNIT={UNIT}")
        return own.reason() if own.output.strip() else self._machine.query(*last, "-u", UNIT).last_line()

    def _reload(self) -> None:
        if self._machine.is_booted():
            self._machine.run("systemctl", "daemon-reload")


def _target(link: Path) -> Path | None:
    """Return the target of a link; None where there is none."""
    return link.readlink() if link.is_symlink() else None


def _replace_link(link: Path, target: Path) -> None:
    """Create or replace a link atomically."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    sync_directory(link.parent)
