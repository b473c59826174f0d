"""Step: the daemon's user with its groups and directories, and the udev rule for the pins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from appliance.install.files import read, restore, write
from appliance.install.machine import SERVICE_USER, STATE, Machine
from appliance.install.step import Need, Plan, Step

SYSUSERS: Final = "/etc/sysusers.d/voice-appliance.conf"
TMPFILES: Final = "/etc/tmpfiles.d/voice-appliance.conf"
UDEV: Final = "/etc/udev/rules.d/60-voice-appliance.rules"
CONFIGURATION: Final = "/etc/voice-appliance"
GROUPS: Final = ("audio", "gpio")


class Account(Step):
    """Writes sysusers and tmpfiles configuration, and has systemd create user and directories."""

    name = "user"
    doing = "making the daemon's user"

    def __init__(self, machine: Machine, source: Path) -> None:
        systemd = source / "systemd"
        self._machine = machine
        self._files: Mapping[Path, bytes] = {
            machine.at(SYSUSERS): (systemd / "sysusers.d/voice-appliance.conf").read_bytes(),
            machine.at(TMPFILES): (systemd / "tmpfiles.d/voice-appliance.conf").read_bytes(),
            machine.at(UDEV): (systemd / "udev/60-voice-appliance.rules").read_bytes(),
        }
        self._before: dict[Path, bytes | None] = {}

    def check(self) -> Plan:
        """Check the files, the user with its groups, and the directories."""
        files = [file.name for file, content in self._files.items() if read(file) != content]
        directories = [place for place in (STATE, CONFIGURATION) if not self._machine.at(place).is_dir()]
        if not files and not directories and self._user_exists():
            return Plan(Need.NOTHING, f"{SERVICE_USER}, in the groups {' and '.join(GROUPS)}")
        return Plan(Need.CHANGE, f"make the user {SERVICE_USER}, in the groups {' and '.join(GROUPS)}")

    def apply(self) -> None:
        """Write the files, and run systemd's tools."""
        self._before = {file: read(file) for file in self._files}
        for file, content in self._files.items():
            write(file, content)
        self._machine.run("systemd-sysusers", self._machine.at(SYSUSERS))
        self._machine.run("systemd-tmpfiles", "--create", self._machine.at(TMPFILES))
        if self._machine.at("/run/udev/control").exists():
            self._machine.run("udevadm", "control", "--reload")
            self._machine.run("udevadm", "trigger", "--subsystem-match=gpio")

    def undo(self) -> None:
        """Restore the files. The user stays: it may own files already."""
        for file, content in self._before.items():
            restore(file, content)

    def _user_exists(self) -> bool:
        if not _fields(self._machine.at("/etc/passwd"), SERVICE_USER):
            return False
        groups = [_fields(self._machine.at("/etc/group"), group) for group in GROUPS]
        return all(line is not None and SERVICE_USER in line[-1].split(",") for line in groups)


def _fields(file: Path, name: str) -> list[str] | None:
    """Return the fields of an entry of passwd(5) or group(5), if there is one."""
    lines = (read(file) or b"").decode("utf-8", "replace").splitlines()
    return next((fields for line in lines if (fields := line.split(":"))[0] == name), None)
