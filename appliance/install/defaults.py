"""Step: the settings file, with every setting and its default; a person's changes are kept."""

from pathlib import Path
from typing import Final

from appliance.install.files import read, restore, write
from appliance.install.machine import Machine
from appliance.install.release import CURRENT, RELEASES, TEMPLATE
from appliance.install.step import Need, Plan, Step

SETTINGS: Final = "/etc/voice-appliance/appliance.toml"


class Defaults(Step):
    """Writes the file where it is missing or unchanged; otherwise writes new defaults beside it."""

    name = "settings"
    doing = "writing the settings"

    def __init__(self, machine: Machine, source: Path) -> None:
        self._machine = machine
        self._file = machine.at(SETTINGS)
        self._beside = self._file.with_name(f"{self._file.name}.new")
        self._template = (source / "config" / "appliance.toml").read_bytes()
        self._before: dict[Path, bytes | None] = {}

    def check(self) -> Plan:
        """Compare the file with the new defaults, and with those of earlier releases."""
        now = read(self._file)
        if now is None:
            return Plan(Need.CHANGE, f"write {SETTINGS}")
        if now == self._template:
            return Plan(Need.NOTHING, f"{SETTINGS}, the defaults")
        if self._is_unchanged(now):
            return Plan(Need.CHANGE, f"bring {SETTINGS}, which nobody has changed, to the new defaults")
        if read(self._beside) == self._template:
            return Plan(Need.NOTHING, f"{SETTINGS}, yours; the new defaults are beside it, in {self._beside.name}")
        if read(self._machine.at(CURRENT) / TEMPLATE) == self._template:
            return Plan(Need.NOTHING, f"{SETTINGS}, yours")
        return Plan(Need.CHANGE, f"leave your {SETTINGS} alone, and write new defaults to {self._beside.name}")

    def apply(self) -> None:
        """Write the file, or the new defaults beside it."""
        now = read(self._file)
        self._before = {self._file: now, self._beside: read(self._beside)}
        write(self._file if now is None or self._is_unchanged(now) else self._beside, self._template)

    def undo(self) -> None:
        """Restore both."""
        for file, content in self._before.items():
            restore(file, content)

    def _is_unchanged(self, content: bytes) -> bool:
        return any(read(file) == content for file in self._machine.at(RELEASES).glob(f"*/{TEMPLATE}"))
