"""A file is there whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from appliance.storage.atomic import final_name, write_atomically


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_is_replaced_and_has_its_mode_whatever_was_left_behind(tmp_path: Path, mode: int):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    (tmp_path / ".a.json.new").write_bytes(b"half")
    write_atomically(path, b"new", mode)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_name_is_known_while_the_file_is_written():
    assert final_name(".usage.json.new") == final_name("usage.json") == "usage.json"
    assert final_name("appliance.toml.new") == "appliance.toml.new"
