"""A pytest fixture: simulators for tests that are not coroutines, each in its own thread.

In a ``conftest.py``: ``from appliance.simulator.fixture import start_simulator``. In a test::

    def test_it_comes_back(start_simulator):
        simulator = start_simulator("drop_mid_reply")
        my_client(simulator.base_url, simulator.ca_file, simulator.api_key)
        assert [record.resumed for record in simulator.sessions] == [False, True]

A test with an event loop can use `server.Simulator` directly or, without sockets, `in_memory_server.SimulatedService`.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from appliance.simulator.options import SimulatorOptions
from appliance.simulator.record import SessionRecord
from appliance.simulator.scenario.file import Scenario, load
from appliance.simulator.server import Simulator
from appliance.units import Pcm

StartSimulator = Callable[..., "ThreadedSimulator"]


class ThreadedSimulator:
    """A `Simulator` in its own thread, inside ``with``; entering raises the same errors."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.api_key = options.api_key
        self._simulator = Simulator(options)
        self._thread = threading.Thread(target=self._run, name="simulator")
        self._running = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._error: BaseException | None = None

    @property
    def base_url(self) -> str:
        """The base URL for clients, in place of Google's."""
        return self._simulator.base_url

    @property
    def ca_file(self) -> Path:
        """The certificate authority that clients must trust, PEM."""
        return self._simulator.ca_file

    @property
    def sessions(self) -> list[SessionRecord]:
        """The records of the connections (`Simulator.sessions`); those of running ones may change at any time."""
        return self._simulator.sessions

    def received(self, session: int) -> Pcm:
        """Return the samples received in a session (`Simulator.received`)."""
        return self._simulator.received(session)

    def __enter__(self) -> Self:
        self._thread.start()
        self._running.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  raised in the thread that waits for this one
            self._error = error
        finally:
            self._running.set()

    async def _serve(self) -> None:
        async with self._simulator:
            self._loop = asyncio.get_running_loop()
            self._running.set()
            await self._stopped.wait()


@pytest.fixture
def start_simulator() -> Iterator[StartSimulator]:
    """Return a function that starts a simulator, which ends with the test.

    Its arguments are scenarios (names or `Scenario`s), one for each connection, the last for all that follow; and
    ``options``.
    """
    with ExitStack() as stack:

        def start(*scenarios: str | Scenario, options: SimulatorOptions | None = None) -> ThreadedSimulator:
            chosen = options or SimulatorOptions()
            if scenarios:
                loaded = tuple(load(one) if isinstance(one, str) else one for one in scenarios)
                chosen = replace(chosen, scenarios=loaded)
            return stack.enter_context(ThreadedSimulator(chosen))

        yield start
