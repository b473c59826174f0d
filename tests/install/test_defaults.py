"""The settings file: a person's edits stay, new defaults come."""

from pathlib import Path

import pytest

from appliance.install.defaults import SETTINGS, Defaults
from appliance.install.machine import Machine
from appliance.install.release import CURRENT, RELEASES, TEMPLATE
from appliance.install.step import Need

OLD, NEW, EDITED = "#volume = 0.8\n", "#volume = 0.7\n", "volume = 0.1\n"


class Settings:
    """A machine with a release that brought OLD, and a source that brings NEW."""

    def __init__(self, folder: Path) -> None:
        self.machine = Machine(folder / "root", "")
        self.source = folder / "source"
        self.file = self.machine.at(SETTINGS)
        self.beside = self.file.with_name("appliance.toml.new")
        self.becomes_current("1", OLD)
        self.brings(NEW)
        self.file.parent.mkdir(parents=True)

    def becomes_current(self, version: str, template: str) -> None:
        file = self.machine.at(RELEASES) / version / TEMPLATE
        file.parent.mkdir(parents=True)
        file.write_text(template)
        link = self.machine.at(CURRENT)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("releases", version))

    def brings(self, template: str) -> None:
        (self.source / "config").mkdir(parents=True, exist_ok=True)
        (self.source / "config/appliance.toml").write_text(template)

    def step(self) -> Defaults:
        return Defaults(self.machine, self.source)

    def is_settled(self) -> bool:
        return self.step().check().need is Need.NOTHING


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "beside"), [(None, NEW, None), (OLD, NEW, None), (NEW, NEW, None), (EDITED, EDITED, NEW)]
)
def test_only_what_nobody_has_changed_is_replaced(settings: Settings, before, after, beside):
    if before is not None:
        settings.file.write_text(before)
    step = settings.step()
    if step.check().need is Need.CHANGE:
        step.apply()
        step.verify()
    assert settings.file.read_text() == after
    assert (settings.beside.read_text() if settings.beside.exists() else None) == beside
    assert settings.is_settled()


def test_new_defaults_are_laid_beside_an_edited_file_once(settings: Settings):
    settings.file.write_text(EDITED)
    settings.step().apply()
    settings.becomes_current("2", NEW)
    settings.beside.unlink()
    assert settings.is_settled()


def test_it_can_be_undone(settings: Settings):
    for before in (None, OLD, EDITED):
        settings.file.unlink(missing_ok=True)
        if before is not None:
            settings.file.write_text(before)
        step = settings.step()
        step.apply()
        step.undo()
        assert (settings.file.read_text() if settings.file.exists() else None) == before
        assert not settings.beside.exists()


def test_everybody_may_read_it(settings: Settings):
    settings.step().apply()
    assert settings.file.stat().st_mode & 0o777 == 0o644
