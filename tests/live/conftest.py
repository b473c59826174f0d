import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _what_is_imported_is_no_garbage() -> Iterator[None]:
    """The SDK's 100,000 objects would else be searched after every test."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
