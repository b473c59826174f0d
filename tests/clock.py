"""A virtual-time event loop: an hour of waiting takes milliseconds, and a deadlock is an error, not a hang.

The selector never waits: when nothing is ready it moves the loop's clock to the next timer. Nothing in the test may
wait for a thread or a socket; such tests use the real loop and the marker ``realtime``. ``conftest.py`` runs every
``async def test_…`` on the one or the other.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")
SPINS: Final = 1000
"""Turns of the loop at one moment, before a nanosecond passes."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._spins = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # What is due comes first: no test on this loop waits for a descriptor.
        ready = [] if timeout == 0 else super().select(0)
        if ready or timeout == 0:
            self._spins += 1
            if self._spins % SPINS == 0:
                # asyncio lets a timer be a nanosecond early: whoever then waits for the rest would wait for ever.
                self.now += 1e-9
            return ready
        self._spins = 0
        if timeout is None:
            msg = "deadlock: no timer is set and nothing will ever happen"
            raise RuntimeError(msg)
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` is virtual, starting at 1000 s."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1000.0 + self._jumping.now

    def pass_time(self, seconds: float) -> None:
        """Let the running callback take this long."""
        self._jumping.now += seconds


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` to its end in virtual time; tasks left over are cancelled, then reported as an error."""
    return _run(main, VirtualLoop)


def run_real(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` on the true clock, with the same check for tasks left over."""
    return _run(main, None)


def _run(main: Callable[[], Coroutine[Any, Any, T]], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> T:
    with asyncio.Runner(loop_factory=loop_factory) as runner:

        async def checked() -> T:
            result = await main()
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            if left:
                msg = f"tasks left running: {left}"
                raise AssertionError(msg)
            return result

        return runner.run(checked())
