"""The time zone is the device's, whenever somebody changes it."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from appliance.wallclock import local_now


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_a_zone_that_is_changed_while_the_daemon_runs_counts_at_once(zone: pytest.MonkeyPatch):
    assert local_now().utcoffset() == timedelta(hours=9)
    zone.setenv("TZ", "America/Caracas")  # as timedatectl does it with /etc/localtime: nobody tells the process
    assert local_now().utcoffset() == timedelta(hours=-4)
