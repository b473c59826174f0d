"""Shared by all tests: no test leaks threads or file descriptors, none sees the machine's own configuration."""

import functools
import gc
import inspect
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.clock import run_real, run_virtual

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
# As the unit has it, for the programs that tests start too: no threads for matrices that nobody multiplies.
os.environ["OMP_NUM_THREADS"] = "1"
# A shell has its background programs ignore Ctrl-C, and nohup has them ignore a closed terminal; the programs that they
# start would do so too. Here each heeds both.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# All that there is gets imported: with the usual thresholds, the search for cycles takes a tenth of a run.
gc.set_threshold(100_000, 50, 100)

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings; skips where it is absent."""
    if not RECORDINGS.is_dir():
        pytest.skip("the real recordings are not beside this checkout: they are not part of the project")
    return RECORDINGS


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("APPLIANCE_", "PROVISIOND_", "GEMINI_", "GOOGLE_")) or name in {
            "NOTIFY_SOCKET",
            "CREDENTIALS_DIRECTORY",
        }:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _log_level_as_before() -> Iterator[None]:
    """Let no program that was run in this process decide what later tests find in the log."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


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
    gc.freeze()


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread or a file descriptor behind (a short grace lets threads end).

    What hangs in a cycle is collected before it counts, and only then: a collection costs more than most tests.
    """
    threads_before = set(threading.enumerate())
    files_before = _open_files()
    yield
    deadline = time.monotonic() + 2.0
    while True:
        threads = [thread for thread in threading.enumerate() if thread not in threads_before]
        files = _open_files() - files_before
        if (not threads and not files) or time.monotonic() > deadline:
            break
        gc.collect()
        time.sleep(0.02)
    assert not threads, f"threads left running: {threads}"
    assert not files, f"file descriptors left open: {files}"


class _Kind(Enum):
    """Kinds of tests, by what they do most of the time."""

    PLAYS = "plays"
    """Has a sound card, which does not wait for a machine that is busy."""
    WAITS = "waits"
    """Waits for the clock, the disk or a program that it has started."""
    COMPUTES = "computes"


_WAITING = (
    "tests/scenarios/test_whole_conversation",
    "tests/scenarios/",
    "tests/provisioning/server/test_crash",
    "tests/provisioning/server/test_paced_server",
    "tests/provisioning/server/test_program",
    "tests/provisioning/server/test_races",
    "tests/audio/worker/test_supervisor.py",
    "tests/simulator/test_shipped_scenarios",
    "tests/simulator/test_shipped_turns",
    "tests/simulator/test_token_endpoint",
    "tests/simulator/test_program",
)
"""Where tests wait for more than a second in all, those that wait longest first."""


def _kind(item: pytest.Item) -> _Kind:
    if "plug_in" in getattr(item, "fixturenames", ()) or item.nodeid.startswith("tests/virtual_card/"):
        return _Kind.PLAYS
    return _Kind.WAITS if item.nodeid.startswith(_WAITING) else _Kind.COMPUTES


@pytest.hookimpl(trylast=True)  # without what is deselected
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker begin with the tests that play, one with those that wait; the others keep the processor busy.

    pytest-xdist deals out the list in as many equal stretches as there are workers; who has done with its own takes
    from the end of another's.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    kinds: dict[_Kind, list[pytest.Item]] = {kind: [] for kind in _Kind}
    for item in items:
        kinds[_kind(item)].append(item)
    # Those that run alone come when no other has a sound card any more.
    kinds[_Kind.PLAYS].sort(key=lambda item: item.get_closest_marker("rages") is not None)
    places = {file: place for place, file in enumerate(_WAITING)}
    kinds[_Kind.WAITS].sort(key=lambda item: next(places[file] for file in _WAITING if item.nodeid.startswith(file)))
    begin = [kinds[_Kind.PLAYS], kinds[_Kind.WAITS]] if workers > 2 else [kinds[_Kind.PLAYS] + kinds[_Kind.WAITS]]
    others = iter(kinds[_Kind.COMPUTES])
    length = len(items) // workers
    items[:] = [test for first in begin for test in (*first, *islice(others, max(0, length - len(first))))]
    items.extend(others)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Step back for the tests that play or wait as soon as this worker computes."""
    if "PYTEST_XDIST_WORKER" in os.environ and _kind(item) is _Kind.COMPUTES and not os.nice(0):
        os.nice(10)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Run every coroutine function on a loop: in virtual time, or on the true clock if it is marked ``realtime``.

    Hypothesis gets a new loop for each example.
    """
    run = run_real if pyfuncitem.get_closest_marker("realtime") else run_virtual

    def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        return functools.wraps(test)(lambda *args, **kwargs: run(lambda: test(*args, **kwargs)))

    drawn = getattr(pyfuncitem.obj, "hypothesis", None)
    if drawn is not None and inspect.iscoroutinefunction(drawn.inner_test):
        drawn.inner_test = on_a_loop(drawn.inner_test)
    elif inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = on_a_loop(pyfuncitem.obj)
