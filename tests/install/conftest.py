"""Fixtures of the installer's tests."""

from pathlib import Path

import pytest

from tests.install.machine import FakeMachine, build


@pytest.fixture
def fresh(tmp_path: Path) -> FakeMachine:
    """A machine that nothing was installed on."""
    return build(tmp_path, Path(__file__).resolve().parents[2])


@pytest.fixture
def installed(fresh: FakeMachine) -> FakeMachine:
    """A machine with a release that runs."""
    assert fresh.install() == 0
    fresh.commands()
    return fresh
