"""Step: releases that nobody goes back to are removed."""

import shutil
from pathlib import Path
from typing import Final

from appliance.install.machine import Machine
from appliance.install.release import CURRENT, MARK, RELEASES, Release
from appliance.install.service import STARTED
from appliance.install.step import Need, Plan, Step

KEPT: Final = 2
"""The current release, and the newest of the others, one that has run before one that has not."""


class Cleanup(Step):
    """Removes older releases, and what is left of those that were never whole."""

    name = "old releases"
    doing = "removing old releases"

    def __init__(self, machine: Machine, release: Release) -> None:
        self._machine = machine
        self._release = release

    def check(self) -> Plan:
        """Look what there is beside those that are kept."""
        old = [folder.name for folder in self._old()]
        if old:
            return Plan(Need.CHANGE, f"remove {', '.join(old)}")
        return Plan(Need.NOTHING, "none")

    def apply(self) -> None:
        """Remove them."""
        for folder in self._old():
            shutil.rmtree(folder)

    def undo(self) -> None:
        """Do nothing: what is half removed has to go."""

    def _old(self) -> list[Path]:
        """Return all but the newest `KEPT`, the one that is installed counting as newest."""
        serving = {self._release.folder, self._machine.at(CURRENT).resolve()}
        others = [folder for folder in self._machine.at(RELEASES).glob("*") if folder not in serving]
        whole = sorted((folder for folder in others if (folder / MARK).is_file()), key=_worth, reverse=True)
        kept = set(whole[: max(0, KEPT - len(serving))])
        return sorted(folder for folder in others if folder not in kept)


def _worth(folder: Path) -> tuple[bool, float]:
    """Return what puts the release last that is to be kept first."""
    return (folder / STARTED).is_file(), (folder / MARK).stat().st_mtime
