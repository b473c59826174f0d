"""One audio worker process, from start to end: sends its orders, delivers its reports. Loop thread."""

import asyncio
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from appliance import log
from appliance.audio.worker.messages import MAX_BYTES, Message, Order, WireError, pack, unpack
from appliance.audio.worker.stderr_log import StderrLog
from appliance.clock import timeout
from appliance.units import Seconds

MAX_ORDERS: Final = 400
"""Orders that wait for a worker that does not read, 4 s of a reply; with more it counts as lost."""
EXIT_TIMEOUT_S: Final = 2.0
"""A killed process is gone within milliseconds, unless a driver holds it."""
REAP_TIMEOUT_S: Final = 0.2
"""Longest time that its end may block the loop."""
SOCKET_BYTES: Final = 1 << 20
"""Requested buffer size: seconds of a microphone, in case the daemon cannot run."""


class WorkerProcess:
    """A running worker; made by `start`, ended by `end`."""

    def __init__(
        self, process: subprocess.Popen[bytes], connection: socket.socket, on_report: Callable[[Message], None]
    ) -> None:
        """``on_report`` gets the reports in order, until the end."""
        if process.stderr is None:
            raise AssertionError
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._handle = os.pidfd_open(process.pid)
        self._connection = connection
        self._on_report = on_report
        self._stderr_log = StderrLog(os.dup(process.stderr.fileno()))
        process.stderr.close()
        self._waiting: deque[bytes] = deque()
        self._ended = asyncio.Event()
        self.last_report_at = Seconds(self._loop.time())
        self._loop.add_reader(connection, self.read)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def ended(self) -> None:
        """Wait until it sends no more reports."""
        await self._ended.wait()

    def read(self) -> None:
        """Deliver all reports that have come."""
        while not self._ended.is_set():
            try:
                datagram = self._connection.recv(MAX_BYTES)
            except BlockingIOError:
                return
            except OSError:
                datagram = b""
            if not datagram:
                self._give_up()
                return
            try:
                report = unpack(datagram)
            except WireError as error:
                self._give_up()
                log.event("audio.nonsense", level="error", reason=str(error))
                return
            self.last_report_at = Seconds(self._loop.time())
            self._on_report(report)

    def send(self, order: Order) -> None:
        """Send as soon as the worker reads."""
        self._waiting.append(pack(order))
        if len(self._waiting) > MAX_ORDERS:
            self._give_up()
            log.event("audio.deaf", level="error", orders=len(self._waiting))
        elif len(self._waiting) == 1:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._connection.send(self._waiting[0])
                self._waiting.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._connection, self._flush)
            return
        except OSError:
            self._give_up()
            return
        self._loop.remove_writer(self._connection)

    def _give_up(self) -> None:
        self._ended.set()
        self._loop.remove_reader(self._connection)
        self._loop.remove_writer(self._connection)

    def kill(self) -> None:
        """Kill the process; `ended` follows."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def end(self) -> int | None:
        """Kill it if it still runs; return its exit code, None where a driver holds it."""
        self._give_up()
        self.kill()
        self._connection.close()
        gone = asyncio.Event()
        self._loop.add_reader(self._handle, gone.set)
        try:
            with suppress(TimeoutError):
                async with timeout(EXIT_TIMEOUT_S):
                    await gone.wait()
        finally:
            self._loop.remove_reader(self._handle)
            os.close(self._handle)
            self._stderr_log.close()
            code = self._reap()
        return code

    def _reap(self) -> int | None:
        """Return its exit code; block for it where a cancellation has cut the wait short."""
        try:
            return self._process.wait(REAP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            log.event("audio.stuck", level="error", pid=self.pid)
            return None


def start(command: Sequence[str], document: str, on_report: Callable[[Message], None]) -> WorkerProcess:
    """Start a worker: ``command`` gets this process's id, the file descriptor of its socket, and ``document``."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        ours.setblocking(False)  # noqa: FBT003  its only form
        arguments = [*command, str(os.getpid()), str(theirs.fileno()), document]
        process = subprocess.Popen(  # noqa: S603  the command is our own program
            arguments,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    return WorkerProcess(process, ours, on_report)
