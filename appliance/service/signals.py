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
def stop_signals(on_stop: Callable[[], None], on_second: Callable[[], None] | None = None) -> Iterator[None]:
    """Call ``on_stop`` on the running loop at the first signal; exit with 1 at the second.

    With ``on_second``, call that at the second signal and exit at the third.

    A closed terminal sends SIGHUP more than once (kernel and shell), so a second SIGHUP is ignored; where SIGHUP is
    ignored already (``nohup``), it stays so. Main thread only. The handlers are Python's, not the loop's, because the
    second signal must work even if the loop hangs.
    """
    loop = asyncio.get_running_loop()
    callbacks = [on_stop] if on_second is None else [on_stop, on_second]
    stopping = False

    def handle(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  as signal.signal wants it
        nonlocal stopping
        if stopping and signum == signal.SIGHUP:
            return
        stopping = True
        if not callbacks:
            _exit_now()
        loop.call_soon_threadsafe(callbacks.pop(0))

    handled = [number for number in STOPPING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_now() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        # RuntimeError: the signal interrupted a write to this stream.
        with suppress(OSError, ValueError, RuntimeError):
            stream.flush()
    os._exit(ExitCode.BUG)
