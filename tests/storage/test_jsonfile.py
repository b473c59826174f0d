"""A state file is there whole, or not at all; nothing about it stops a conversation."""

import logging
from pathlib import Path

import pytest

from appliance.storage.jsonfile import JsonFile, NullStore

pytestmark = pytest.mark.realtime


async def save(file: JsonFile | NullStore, value: dict[str, object]) -> None:
    await file.save(value)


async def test_what_was_saved_is_there_again(tmp_path: Path):
    file = JsonFile(tmp_path / "usage.json")
    assert file.load() is None
    await save(file, {"a": [1, 2]})
    await save(file, {"b": 3})
    assert JsonFile(tmp_path / "usage.json").load() == {"b": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["usage.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "usage.json"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING, "appliance"):
        assert JsonFile(path).load() is None
    assert "state.unreadable" in caplog.text


async def test_what_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING, "appliance"):
        await save(JsonFile(tmp_path / "nowhere" / "usage.json"), {})
    assert "state.unwritable" in caplog.text


async def test_without_a_state_directory_nothing_is_kept():
    await save(NullStore(), {"a": 1})
    assert NullStore().load() is None
