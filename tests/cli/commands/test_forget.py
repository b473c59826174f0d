"""`appliance forget`: asks, tells the server, and leaves nothing."""

import io
import sys

import pytest

from appliance.errors import ExitCode
from appliance.storage.private_dir import PrivateDirectory
from tests.cli.commands.servers import Served, Terminal, told
from tests.support.provisioning import dead_address

pytestmark = pytest.mark.realtime


class Typed(io.TextIOWrapper):
    """Terminal with typed input, byte for byte."""

    def isatty(self) -> bool:
        return True


def test_it_leaves_nothing_and_the_server_knows(served: Served, capsys):
    served.enrol()
    (served.state / "usage.json").write_text("{}")
    (served.state / "somebody-elses").write_text("")
    device = served.device_id
    capsys.readouterr()
    assert served.appliance("forget", "--yes") == ExitCode.OK
    said = capsys.readouterr().out
    assert said == f"forgotten: {device} at {served.front.url}; its server has revoked it\n"
    assert served.status == "revoked"
    assert PrivateDirectory(served.state).names() == ["somebody-elses"]


def test_a_server_that_is_away_is_left_to_its_operator(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    with dead_address() as url:
        assert served.appliance("forget", "--yes", url=url) == ExitCode.OK
    assert "have its operator revoke it" in capsys.readouterr().out
    assert PrivateDirectory(served.state).names() == []
    assert served.status == "active"


@pytest.mark.parametrize(("typed", "code"), [("yes\n", 0), ("Yes \n", 0), ("y\n", 2), ("\n", 2), ("", 2)])
def test_a_person_is_asked_first(served: Served, capsys, monkeypatch, typed, code):
    served.enrol()
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert served.appliance("forget") == code
    output = capsys.readouterr()
    assert "It will not work until it enrols again" in output.out
    assert ("nothing was forgotten" in output.err) is bool(code)
    assert bool(PrivateDirectory(served.state).names()) is bool(code)


def test_an_answer_that_is_no_text_is_no_yes(served: Served, capsys, monkeypatch):
    served.enrol()
    capsys.readouterr()
    with Typed(io.BytesIO(b"yes\xff\n"), encoding="utf-8", errors="strict") as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        assert served.appliance("forget") == ExitCode.USAGE
    assert "nothing was forgotten" in capsys.readouterr().err
    assert served.status == "active"


@pytest.mark.parametrize("given", [None, io.StringIO("yes\n")])
def test_a_script_has_to_mean_it(served: Served, capsys, monkeypatch, given):
    monkeypatch.setattr(sys, "stdin", given)
    served.enrol()
    capsys.readouterr()
    assert served.appliance("forget") == ExitCode.USAGE
    assert "give --yes" in told(capsys)
    assert served.status == "active"


def test_nothing_is_taken_from_a_daemon_that_runs(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    with PrivateDirectory(served.state).locked():
        assert served.appliance("forget", "--yes") == ExitCode.UNAVAILABLE
    assert "systemctl stop appliance" in told(capsys)
    assert served.status == "active"


@pytest.mark.parametrize("options", [["--yes"], []])
def test_where_there_is_nothing_to_forget_it_says_so(served: Served, capsys, options):
    served.enrol()
    assert served.appliance("forget", "--yes") == ExitCode.OK
    capsys.readouterr()
    assert served.appliance("forget", *options) == ExitCode.OK
    assert capsys.readouterr().out == "there is nothing to forget: this device is not enrolled\n"


@pytest.mark.parametrize("name", ["device-key-k7m2qd.pem", ".identity.json.new", "usage.json"])
def test_what_is_left_of_an_enrolment_can_be_forgotten(served: Served, capsys, name):
    served.state.mkdir()
    (served.state / name).touch()
    assert served.appliance("forget", "--yes") == ExitCode.OK
    assert "the remains of an enrolment; its server could not be reached" in capsys.readouterr().out
    assert PrivateDirectory(served.state).names() == []


def test_what_is_damaged_can_be_forgotten(served: Served, capsys):
    served.enrol()
    (served.state / "identity.json").write_text("{")
    capsys.readouterr()
    assert served.appliance("forget", "--yes") == ExitCode.OK
    assert "a damaged identity" in capsys.readouterr().out
    assert PrivateDirectory(served.state).names() == []
