"""Shared by all tests: no test leaks threads or file descriptors, none sees the machine's own configuration."""

import gc
import os
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; skips where it is absent."""
    if not RECORDINGS.is_dir():
        pytest.skip("the real recordings are not beside this checkout")
    return RECORDINGS


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("APPLIANCE_", "PROVISIOND_", "GEMINI_", "GOOGLE_")) or name in {
            "NOTIFY_SOCKET",
            "CREDENTIALS_DIRECTORY",
        }:
            monkeypatch.delenv(name)


def _open_files() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):  # noqa: PTH208  Path.iterdir would hold a descriptor of its own
        try:
            found.add(f"{fd} -> {os.readlink(f'/proc/self/fd/{fd}')}")  # noqa: PTH115
        except OSError:
            continue
    # matplotlib keeps the fonts open that it has drawn with
    return {entry for entry in found if "/proc/" not in entry and not entry.endswith(".ttf")}


@pytest.fixture(scope="session", autouse=True)
def _imports_are_no_garbage() -> None:
    """Keep what imports have made out of every later collection: the SDK alone costs 50 ms each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread or a file descriptor behind (a short grace lets threads end)."""
    threads_before = set(threading.enumerate())
    files_before = _open_files()
    yield
    deadline = time.monotonic() + 2.0
    while True:
        gc.collect()
        threads = [thread for thread in threading.enumerate() if thread not in threads_before]
        files = _open_files() - files_before
        if (not threads and not files) or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    assert not threads, f"threads left running: {threads}"
    assert not files, f"file descriptors left open: {files}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every worker begin with its share of the tests that wait in real time: the others fill in and compute.

    pytest-xdist deals out the list in as many equal stretches as there are workers, and evens out from their ends.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    alone = [item for item in items if item.get_closest_marker("rages")]
    waiting = [item for item in items if _waits(item) and item not in alone]
    others = iter([item for item in items if not _waits(item) and item not in alone])
    length = len(items) // workers + 1
    ordered: list[pytest.Item] = []
    for number in range(workers):
        # Those that run alone come when the others have done with their sound cards.
        share = [*waiting[number::workers], *(alone if not number else [])]
        ordered += [*share, *islice(others, length - len(share))]
    items[:] = [*ordered, *others]


def _waits(item: pytest.Item) -> bool:
    return any(part in item.path.as_posix() for part in ("/scenarios/", "/test_engine", "/test_meter"))
