"""The installation with the true `appliance enrol` and a provisioning server; the other commands are stand-ins."""

import socket
import sys
from collections.abc import Iterator

import pytest

from appliance.errors import ExitCode
from appliance.install.command import install
from appliance.install.enrolment import enrolled_as
from tests.install.machine import FakeMachine, words
from tests.install.outside import Outside, provisioning_server

pytestmark = [pytest.mark.realtime, pytest.mark.slow]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with provisioning_server(tmp_path_factory.mktemp("outside")) as server:
        yield server


@pytest.fixture
def truly(fresh: FakeMachine, outside: Outside) -> FakeMachine:
    """A machine whose release enrols."""
    fresh.file("true-python", sys.executable)
    drop_ins = fresh.root / "etc/voice-appliance/appliance.toml.d"
    drop_ins.mkdir(parents=True)
    (drop_ins / "server.toml").write_text(f'[provisioning]\nca_file = "{outside.trusted}"\n')
    return fresh


def test_the_device_is_one_of_the_server(truly: FakeMachine, outside: Outside, capsys):
    assert truly.install(truly.file("join", outside.join_string())) == ExitCode.OK
    device = enrolled_as(truly.machine)
    assert outside.devices()[str(device)] == "active"
    assert f"enrolment done enrolled, as {device} at {outside.url}" in words(capsys.readouterr().out)


def test_a_device_that_waits_for_approval_says_who_can_give_it(truly: FakeMachine, outside: Outside, capsys):
    assert truly.install(truly.file("join", outside.join_string("--approval"))) == ExitCode.OK
    device = enrolled_as(truly.machine)
    assert outside.devices()[str(device)] == "pending"
    assert f"waits for approval: `admin devices approve {device}`" in words(capsys.readouterr().out)


def test_a_join_file_from_a_windows_editor_with_typographic_quotes_is_taken(truly: FakeMachine, outside: Outside):
    assert truly.install(truly.file("join", f"\ufeff“{outside.join_string()}”\r\n")) == ExitCode.OK
    assert outside.devices()[str(enrolled_as(truly.machine))] == "active"


def test_a_new_identity_is_tested_again(truly: FakeMachine, outside: Outside):
    join = truly.file("join", outside.join_string("--uses", "2"))
    assert truly.install(join) == ExitCode.OK
    before = enrolled_as(truly.machine)
    state = truly.root / "var/lib/voice-appliance"
    for file in state.iterdir():
        file.unlink()
    truly.commands()
    assert truly.install(join) == ExitCode.OK
    assert enrolled_as(truly.machine) not in {before, None}
    assert [line for line in truly.commands() if line.startswith("appliance selftest")]
    assert install(truly.machine, None, truly.source) == ExitCode.OK
    assert truly.changes() == []


def test_a_claim_that_was_ended_is_refused(truly: FakeMachine, outside: Outside, capsys):
    made = outside.admin("claims", "create", "--url", outside.url)
    outside.admin("claims", "revoke", made["claim"])
    assert truly.install(truly.file("join", made["join"])) == ExitCode.REFUSED
    assert "does not accept the claim" in capsys.readouterr().err
    assert enrolled_as(truly.machine) is None
    assert not truly.has("active")


def test_a_server_that_does_not_answer_is_69(truly: FakeMachine, outside: Outside):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    made = outside.admin("claims", "create", "--url", f"https://127.0.0.1:{port}")
    assert truly.install(truly.file("join", made["join"])) == ExitCode.UNAVAILABLE
    assert enrolled_as(truly.machine) is None


def test_a_damaged_identity_is_not_enrolled_over(truly: FakeMachine, outside: Outside, capsys):
    state = truly.root / "var/lib/voice-appliance"
    state.mkdir(parents=True)
    (state / "identity.json").write_text("half of i")
    assert enrolled_as(truly.machine) == ""
    truly.install(truly.file("join", outside.join_string()))
    assert "its identity is damaged" in capsys.readouterr().out
    assert (state / "identity.json").read_text() == "half of i"
