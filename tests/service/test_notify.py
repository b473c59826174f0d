"""Notifications to systemd, on a real notification socket."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.service.notify import NoManager, SystemdManager, from_environment

pytestmark = pytest.mark.realtime

Listen = Callable[[str], socket.socket]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listen]:
    """Open a notification socket, and put it where systemd's library looks for it."""
    opened: list[socket.socket] = []

    def at(name: str) -> socket.socket:
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.settimeout(5)
        receiver.bind("\0" + name[1:] if name.startswith("@") else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        opened.append(receiver)
        return receiver

    yield at
    for receiver in opened:
        receiver.close()


@pytest.mark.parametrize("place", ["file", "abstract"])
def test_systemd_hears_everything_in_order(listen: Listen, tmp_path: Path, place: str):
    receiver = listen(str(tmp_path / "notify") if place == "file" else f"@appliance-test-{os.getpid()}")
    manager = from_environment(os.environ)
    assert isinstance(manager, SystemdManager)
    manager.ready()
    manager.status("listening\nREADY=0  link 3")
    manager.watchdog()
    manager.stopping()
    heard = [receiver.recv(1000).decode().strip() for _ in range(4)]
    assert heard == ["READY=1", "STATUS=listening READY=0 link 3", "WATCHDOG=1", "STOPPING=1"]


def test_without_a_service_manager_nobody_is_told():
    manager = from_environment({})
    assert isinstance(manager, NoManager)
    assert manager.watchdog_s is None
    manager.ready()
    manager.status("listening")
    manager.watchdog()
    manager.stopping()


def test_the_watchdog_is_systemds_if_it_is_for_this_process():
    for usec, pid, watchdog_s in (
        ("20000000", None, 20.0),
        ("500000", str(os.getpid()), 0.5),
        ("20000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        ("", None, None),
    ):
        environ = {"NOTIFY_SOCKET": "/run/nowhere", "WATCHDOG_USEC": usec}
        if pid is not None:
            environ["WATCHDOG_PID"] = pid
        assert from_environment(environ).watchdog_s == watchdog_s, environ


def test_a_service_manager_that_is_gone_is_harmless(listen: Listen, tmp_path: Path):
    receiver = listen(str(tmp_path / "notify"))
    manager = SystemdManager(watchdog_s=None)
    receiver.close()
    manager.watchdog()
