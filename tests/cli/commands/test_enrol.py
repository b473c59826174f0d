"""`appliance enrol` as it is typed: what it says, how it ends, and what it never shows."""

import io
import json
import logging
import sys
from contextlib import ExitStack

import pytest

from appliance.errors import ExitCode
from appliance.provisioning.common import keys
from appliance.provisioning.common.join import read_join
from appliance.provisioning.device import identity
from appliance.provisioning.device.enrolment import STATUS_FILE
from appliance.provisioning.server import audit, devices
from appliance.storage.private_dir import PrivateDirectory
from tests.cli.commands.servers import Served, told
from tests.support.provisioning import SERVER_KEY, dead_address

pytestmark = pytest.mark.realtime


def test_it_enrols_tells_how_it_stands_and_does_it_once_only(served: Served, capsys):
    file = served.join_file(label="kitchen")
    assert served.appliance("enrol", "--join-file", file, "--name", "Küche [/]") == ExitCode.OK
    assert capsys.readouterr().out == f"enrolled, as {served.device_id} at {served.front.url}\n"
    assert served.appliance("enrol", "--join-file", file) == ExitCode.OK
    assert capsys.readouterr().out == f"enrolled already, as {served.device_id} at {served.front.url}\n"
    assert served.appliance("enrol") == ExitCode.OK
    assert (
        capsys.readouterr().out == f"enrolled, as {served.device_id} at {served.front.url}, which calls it Küche [/]\n"
    )
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in served.state.iterdir())
    assert served.state.stat().st_mode & 0o777 == 0o700


def test_the_join_string_may_come_by_the_standard_input(served: Served, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"  {served.join()}\n"))
    assert served.appliance("enrol", "--join-file", "-") == ExitCode.OK
    assert "enrolled, as" in capsys.readouterr().out


@pytest.mark.parametrize(
    "saved",
    [
        lambda join: f"{join}\r\n".encode("utf-8-sig"),
        lambda join: f"{join}\r\n".encode("utf-16"),
        lambda join: f'"{join}"\n'.encode(),
        lambda join: f"\u00a0{join}\u00a0\n".encode(),
    ],
)
def test_the_join_file_may_have_been_saved_or_copied_elsewhere(served: Served, saved):
    file = served.directory / "join"
    file.write_bytes(saved(served.join()))
    assert served.appliance("enrol", "--join-file", file) == ExitCode.OK


def test_the_standard_input_may_be_what_powershell_writes(served: Served, monkeypatch):
    given = io.TextIOWrapper(io.BytesIO(f"{served.join()}\r\n".encode("utf-16")), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", given)
    assert served.appliance("enrol", "--join-file", "-") == ExitCode.OK


def test_one_that_waits_for_approval_is_told_what_its_operator_has_to_do(served: Served, capsys):
    assert served.appliance("enrol", "--join-file", served.join_file(needs_approval=True)) == ExitCode.OK
    words = f"waits for approval: `admin devices approve {served.device_id}` there"
    assert words in capsys.readouterr().out
    assert served.appliance("enrol") == ExitCode.OK
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("text", ["hello", "va1.", "\0\xff", " ", "va1." + "x" * 5000])
def test_what_is_no_join_string_is_a_file_that_is_wrong(served: Served, capsys, text):
    file = served.directory / "join"
    file.write_bytes(text.encode("latin-1"))
    assert served.appliance("enrol", "--join-file", file) == ExitCode.DATA
    assert "not a join string" in told(capsys)


def test_a_slip_of_the_finger_is_found_and_not_shown(served: Served, capsys):
    text = served.join()
    middle = len(text) // 2
    slipped = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    assert served.appliance("enrol", "--join-file", served.join_file(slipped)) == ExitCode.DATA
    line = told(capsys)
    assert "copy it again" in line
    assert slipped[4:20] not in line


def test_another_claim_takes_no_device_over(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    assert served.appliance("enrol", "--join-file", served.join_file()) == ExitCode.DATA
    assert "`appliance forget` first" in told(capsys)


@pytest.mark.parametrize("given", [None, io.TextIOWrapper(io.BytesIO(b"va1.\xff"), encoding="utf-8", errors="strict")])
def test_a_closed_input_and_one_that_is_no_text_hold_no_join_string(served: Served, capsys, monkeypatch, given):
    monkeypatch.setattr(sys, "stdin", given)
    assert served.appliance("enrol", "--join-file", "-") == ExitCode.DATA
    assert "not a join string" in told(capsys)


@pytest.mark.parametrize("given", [None, io.StringIO()])
def test_without_a_join_string_it_says_how_to_give_one(served: Served, capsys, monkeypatch, given):
    monkeypatch.setattr(sys, "stdin", given)
    assert served.appliance("enrol") == ExitCode.NO_INPUT
    assert "--join-file FILE" in told(capsys)
    for there_is_none in (served.directory / "none", served.directory):
        assert served.appliance("enrol", "--join-file", there_is_none) == ExitCode.NO_INPUT
        assert str(there_is_none) in told(capsys)


def test_a_server_that_is_not_there_and_a_daemon_that_is_are_unavailable(served: Served, capsys):
    with dead_address() as url:
        assert served.appliance("enrol", "--join-file", served.join_file(url=url)) == ExitCode.UNAVAILABLE
    assert "cannot be reached" in told(capsys)
    with PrivateDirectory(served.state).locked():
        assert served.appliance("enrol", "--join-file", served.join_file()) == ExitCode.UNAVAILABLE
    assert "systemctl stop appliance" in told(capsys)


def test_a_claim_that_was_used_is_refused(served: Served, capsys):
    file = served.join_file()
    assert served.appliance("enrol", "--join-file", file) == ExitCode.OK
    assert served.appliance("forget", "--yes") == ExitCode.OK
    capsys.readouterr()
    assert served.appliance("enrol", "--join-file", file) == ExitCode.REFUSED
    assert "ask its operator for a new join string" in told(capsys)


def test_a_server_with_another_key_than_the_join_string_names_is_refused(served: Served, capsys):
    other = keys.private_key(keys.new_private_key())
    assert served.appliance("enrol", "--join-file", served.join_file(server_key=other)) == ExitCode.REFUSED
    assert "another key than the join string names" in told(capsys)


def test_one_that_is_blocked_is_told_whom_to_ask(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    served.here.work(lambda c: devices.move(c, served.device_id, audit.AuditAction.SUSPENDED, served.here.ms, "admin"))
    assert served.appliance("enrol") == ExitCode.REFUSED
    assert "suspended" in told(capsys)


def test_one_that_is_blocked_before_it_knows_that_it_has_enrolled_is_refused(served: Served, capsys):
    file = served.join_file()
    assert served.appliance("enrol", "--join-file", file) == ExitCode.OK
    (served.state / "identity.json").unlink()  # as if the power had been cut before it was written
    served.here.work(lambda c: devices.move(c, served.device_id, audit.AuditAction.SUSPENDED, served.here.ms, "admin"))
    capsys.readouterr()
    assert served.appliance("enrol", "--join-file", file) == ExitCode.REFUSED
    assert "suspended" in told(capsys)


def test_one_whose_settings_say_it_all_is_told_how_it_stands(served: Served, capsys, monkeypatch):
    served.enrol()
    own = identity.read(PrivateDirectory(served.state))
    assert own is not None
    key = (served.state / own.key_file).rename(served.directory / "key.pem")
    (served.state / identity.FILE_NAME).unlink()
    monkeypatch.setenv("APPLIANCE_PROVISIONING__SERVER_KEYS", json.dumps([keys.public_key_text(SERVER_KEY)]))
    capsys.readouterr()
    assert served.appliance("enrol", url=own.url, device_id=own.device_id, device_key_file=key) == ExitCode.OK
    assert f"enrolled, as {own.device_id} at {own.url}" in capsys.readouterr().out


def test_the_server_that_was_asked_is_the_one_that_is_named(served: Served, capsys):
    served.enrol()
    file = served.state / identity.FILE_NAME
    file.write_text(file.read_text().replace(served.front.url, "https://before.test"))
    capsys.readouterr()
    assert served.appliance("enrol", url=served.front.url) == ExitCode.OK
    assert capsys.readouterr().out.startswith(f"enrolled, as {served.device_id} at {served.front.url}")


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"url": "http://provisioning.test"}, "provisioning.url"), ({"ca_file": "/nowhere.pem"}, "provisioning.ca_file")],
)
def test_a_wrong_setting_is_named(served: Served, capsys, changed, named):
    assert served.appliance("enrol", "--join-file", served.join_file(), **changed) == ExitCode.CONFIGURATION
    assert named in told(capsys)


def test_a_state_directory_that_is_none_and_an_identity_that_is_damaged_are_told(served: Served, capsys):
    served.state.write_text("")
    assert served.appliance("enrol", "--join-file", served.join_file()) == ExitCode.CONFIGURATION
    assert str(served.state) in told(capsys)
    served.state.unlink()
    served.enrol()
    (served.state / "identity.json").write_text("{")
    capsys.readouterr()
    assert served.appliance("enrol") == ExitCode.CONFIGURATION
    assert "appliance forget" in told(capsys)


@pytest.mark.parametrize("name", ["", "x" * 81, "two\nlines", "\udcff"])
def test_a_name_that_is_none_is_a_mistake_of_whoever_typed_it(served: Served, capsys, name):
    assert served.appliance("enrol", "--join-file", served.join_file(), "--name", name) == ExitCode.USAGE
    assert "--name" in told(capsys)
    assert not served.state.exists()


def test_no_secret_is_shown_or_logged_at_any_level(served: Served, capfd, caplog):
    """Over a true connection, with all that its libraries have to say."""
    text = served.join()
    secret = read_join(text).claim.secret
    with ExitStack() as loud:
        for name in (None, "httpx2", "httpcore2", "asyncio", "appliance"):
            loud.enter_context(caplog.at_level(logging.DEBUG, name))
        assert served.appliance("enrol", "--join-file", served.join_file(text)) == ExitCode.OK
        assert served.appliance("enrol", "--join-file", served.join_file(text)) == ExitCode.OK
        assert served.appliance("rotate-key") == ExitCode.OK
    output = capfd.readouterr()
    everything = caplog.text + output.out + output.err
    assert "httpcore2" in {record.name.partition(".")[0] for record in caplog.records}
    assert text not in everything
    assert secret not in everything
    for path in served.state.glob("device-key-*"):
        assert path.read_text().splitlines()[1] not in everything


def test_a_join_string_is_no_argument_and_is_not_repeated_when_it_is_given_as_one(served: Served, capsys):
    text = served.join()
    assert served.appliance("enrol", text) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert "unrecognized arguments" in error
    assert text[4:20] not in error


def test_what_the_server_says_of_it_is_kept_for_the_doctor_by_the_daemon_alone(served: Served):
    served.enrol()
    assert served.appliance("enrol") == ExitCode.OK
    assert not (served.state / STATUS_FILE).exists()
    assert json.loads((served.state / "identity.json").read_text())["url"] == served.front.url
