"""SIGTERM, SIGINT and SIGHUP: the first asks the daemon to stop, the second ends the process."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, NoReturn

from appliance.errors import ExitCode

STOPPING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def stop_signals(on_stop: Callable[[], None], on_insist: Callable[[], None] | None = None) -> Iterator[None]:
    """Call ``on_stop`` on the running loop at the first signal, once; end the process with 1 at the second.

    With ``on_insist``, that is called at the second, and the third ends the process.

    A terminal that is closed sends SIGHUP more than once (kernel and shell), so a second SIGHUP ends nothing; where
    SIGHUP is ignored (``nohup``), it stays so. Main thread only. The handlers are Python's, not the loop's: the second
    signal must work though the loop hangs.
    """
    loop = asyncio.get_running_loop()
    orders = [on_stop] if on_insist is None else [on_stop, on_insist]
    asked = False

    def handle(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  as signal.signal wants it
        nonlocal asked
        if asked and signum == signal.SIGHUP:
            return
        asked = True
        if not orders:
            _exit_now()
        loop.call_soon_threadsafe(orders.pop(0))

    heeded = [number for number in STOPPING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_now() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        # RuntimeError: the signal came in the middle of a write to this very stream.
        with suppress(OSError, ValueError, RuntimeError):
            stream.flush()
    os._exit(ExitCode.BUG)
