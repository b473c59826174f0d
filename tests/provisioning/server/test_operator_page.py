"""The commands that docs/server.md gives to an operator do what it says."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ExitCode
from appliance.provisioning.common import join, keys
from appliance.provisioning.server import identity
from appliance.provisioning.server.admission import note_server_key
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.settings import load_for_admin
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.clock import run_virtual
from tests.support.provisioning import OPEN, FakeUpstream, InThisThread, World, server_settings
from tests.support.server_page import blocks


def commands() -> list[str]:
    """Return what the page has an operator type after ``admin``, in its order."""
    (block,) = (block for block in blocks() if "admin claims create" in block)
    return [line.removeprefix("admin ") for line in block.splitlines() if line.startswith("admin ")]


class Operator:
    """Types commands, on a server with the page's settings."""

    def __init__(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._file = file
        self._capsys = capsys
        self._device = ""
        self._settings = load_for_admin(file, {})

    def admin(self, command: str) -> str:
        typed = shlex.split(command.replace("dev_…", self._device), comments=True)
        code = provisiond(["admin", "--config", str(self._file), *typed])
        out, err = self._capsys.readouterr()
        assert code == ExitCode.OK, (command, err)
        return out

    def start(self) -> World:
        """Return the server, started now, in this thread."""
        store = DatabaseStore(open_engine(self._settings.database()), InThisThread())
        OPEN.append(store)
        own: dict[str, Any] = {
            "next_key": identity.next_key(self._settings),
            "key": identity.signing_key(self._settings),
        }
        return World(server_settings(), store, FakeUpstream(), **own)

    def enrol(self, string: str) -> None:
        claim, key = join.read_join(string).claim.text(), keys.private_key(keys.new_private_key())
        self._device = run_virtual(lambda: self.start().enrol(claim, key)).json()["device_id"]

    def have_devices_told(self) -> None:
        """Have the device ask the server, which has been started again, how it stands."""
        self.start().work(
            lambda c: note_server_key(c, self._device, json.loads(self.admin("keys show --json"))["announced"])
        )


def test_every_command_of_the_page_is_one_and_does_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "provisiond.toml"
    (settings_text,) = (block for block in blocks() if block.startswith("host ="))
    file.write_text(settings_text)
    operator = Operator(file, capsys)
    done = commands()
    for command in done:
        if command.startswith("keys rotate"):
            operator.have_devices_told()
        out = operator.admin(command)
        if "--approval" in command:
            operator.enrol(re.findall(r"va1\.\S+", out)[0])
    assert len(done) >= 10
    (policy,) = json.loads(operator.admin("policies list --json"))
    assert (policy["name"], policy["sessions_day"], policy["tools"]) == ("children", 20, '["get_time"]')
    shown = json.loads(operator.admin("devices show dev_… --json"))
    assert (shown["policy"], shown["status"]) == ("children", "suspended")
    assert json.loads(operator.admin("keys show --json"))["unheard"] == 0
