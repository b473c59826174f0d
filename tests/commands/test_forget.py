"""`appliance forget`: asks, tells the server, and leaves nothing."""

import sys

import pytest

from appliance.errors import ExitCode
from appliance.provisioning.drawer import Drawer
from tests.commands.servers import Served
from tests.commands.test_enrol import Terminal, told
from tests.provisioning.worlds import dead_address

pytestmark = pytest.mark.realtime


def test_it_leaves_nothing_and_the_server_knows(served: Served, capsys):
    served.enrol()
    (served.state / "usage.json").write_text("{}")
    (served.state / "somebody-elses").write_text("")
    device = served.device_id
    capsys.readouterr()
    assert served.appliance("forget", "--yes") == ExitCode.OK
    said = capsys.readouterr().out
    assert said == f"forgotten: {device} at {served.front.url}; its server knows, and takes it for revoked\n"
    assert served.status == "revoked"
    assert Drawer(served.state).names() == ["somebody-elses"]


def test_a_server_that_is_away_is_left_to_its_operator(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    with dead_address() as url:
        assert served.appliance("forget", "--yes", url=url) == ExitCode.OK
    assert "have its operator revoke it" in capsys.readouterr().out
    assert Drawer(served.state).names() == []
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
    assert bool(Drawer(served.state).names()) is bool(code)


def test_a_script_has_to_mean_it(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    assert served.appliance("forget") == ExitCode.USAGE
    assert "give --yes" in told(capsys)
    assert served.status == "active"


def test_nothing_is_taken_from_a_daemon_that_runs(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    with Drawer(served.state).locked():
        assert served.appliance("forget", "--yes") == ExitCode.UNAVAILABLE
    assert "systemctl stop appliance" in told(capsys)
    assert served.status == "active"


def test_what_is_damaged_or_was_never_there_can_be_forgotten(served: Served, capsys):
    assert served.appliance("forget", "--yes") == ExitCode.OK
    assert "whatever was left" in capsys.readouterr().out
    served.enrol()
    (served.state / "identity.json").write_text("{")
    capsys.readouterr()
    assert served.appliance("forget", "--yes") == ExitCode.OK
    assert "a damaged identity" in capsys.readouterr().out
    assert Drawer(served.state).names() == []
