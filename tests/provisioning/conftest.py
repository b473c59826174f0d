import gc
import os

import pytest


def pytest_collection_finish() -> None:
    # The check for leaks collects garbage after every test; what the imports have made need not be looked at each time.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_server_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PROVISIOND_"):
            monkeypatch.delenv(name)
