"""`appliance rotate-key`: another key that works, or the one before."""

import pytest

from appliance.errors import ExitCode
from appliance.provisioning.common import keys
from appliance.provisioning.device import identity
from appliance.provisioning.server import audit, devices
from appliance.storage.private_dir import PrivateDirectory
from tests.cli.commands.servers import Served, told
from tests.support.provisioning import dead_address

pytestmark = pytest.mark.realtime


def key_of(served: Served) -> str:
    """Return the thumbprint of the key that the device signs with."""
    (name,) = [name for name in PrivateDirectory(served.state).names() if identity.is_key_file(name)]
    return keys.thumbprint(keys.device_key((served.state / name).read_text()))


def test_the_new_key_is_told_and_works(served: Served, capsys):
    served.enrol()
    before = key_of(served)
    capsys.readouterr()
    assert served.appliance("rotate-key") == ExitCode.OK
    assert key_of(served) != before
    assert capsys.readouterr().out == f"this device has another key, {key_of(served)}\n"
    assert served.appliance("enrol") == ExitCode.OK


def test_without_the_server_the_old_key_stays(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    with dead_address() as url:
        assert served.appliance("rotate-key", url=url) == ExitCode.UNAVAILABLE
    assert "cannot be reached" in told(capsys)
    assert served.appliance("enrol") == ExitCode.OK
    assert served.appliance("rotate-key") == ExitCode.OK
    key_of(served)


def test_one_that_is_blocked_keeps_its_key(served: Served, capsys):
    served.enrol()
    served.here.work(lambda c: devices.move(c, served.device_id, audit.AuditAction.SUSPENDED, served.here.ms, "admin"))
    capsys.readouterr()
    assert served.appliance("rotate-key") == ExitCode.REFUSED
    told(capsys)
    served.here.work(lambda c: devices.move(c, served.device_id, audit.AuditAction.RESUMED, served.here.ms, "admin"))
    assert served.appliance("enrol") == ExitCode.OK


def test_one_that_never_enrolled_is_told_to(served: Served, capsys):
    assert served.appliance("rotate-key") == ExitCode.NO_INPUT
    assert "this device is not enrolled: appliance enrol --join-file FILE" in told(capsys)


def test_a_key_that_came_from_elsewhere_is_replaced_there(served: Served, capsys):
    given = served.directory / "given.pem"
    given.write_text(keys.new_private_key())
    assert served.appliance("enrol", "--join-file", served.join_file(), device_key_file=given) == ExitCode.OK
    capsys.readouterr()
    assert served.appliance("rotate-key", device_key_file=given) == ExitCode.DATA
    assert "comes from the settings: replace it there" in told(capsys)


def test_it_waits_for_no_daemon(served: Served, capsys):
    served.enrol()
    capsys.readouterr()
    with PrivateDirectory(served.state).locked():
        assert served.appliance("rotate-key") == ExitCode.UNAVAILABLE
    assert "systemctl stop appliance" in told(capsys)
