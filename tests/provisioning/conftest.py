"""Closes what the tests of this directory have opened."""

from collections.abc import Iterator

import pytest

from tests.support.provisioning import OPEN


@pytest.fixture(autouse=True)
def _stores_are_closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()
