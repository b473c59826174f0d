"""Reports of the worker to the daemon, from any of its threads, in order, without ever waiting."""

import socket
import threading
from collections import deque
from typing import Final

from appliance.audio.worker.messages import Report, pack

CAPACITY: Final = 1500
"""Reports kept while the daemon does not read: 10 s of a microphone and a reply. Then the oldest is dropped."""


class ReportQueue:
    """Sends datagrams; those that the socket does not take are kept and sent later."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._waiting: deque[bytes] = deque()
        # Held for a few microseconds at a time, and by real-time threads: order matters more.
        self._lock = threading.Lock()
        self.dropped = 0
        """Reports dropped because the queue was full."""

    def send(self, report: Report) -> None:
        """Send, or keep for later; any thread. The main loop notices that the daemon is gone."""
        datagram = pack(report)
        with self._lock:
            self._waiting.append(datagram)
            if len(self._waiting) > CAPACITY:
                self._waiting.popleft()
                self.dropped += 1
            self._flush()

    def flush(self) -> None:
        """Send what was kept, as far as the socket takes it."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._connection.send(self._waiting[0], socket.MSG_DONTWAIT)
                self._waiting.popleft()
        except OSError:  # full, or the daemon is gone
            return
