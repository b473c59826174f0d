"""``python -m appliance.audio.worker``: started by the supervisor alone, with a socket and a `WorkerConfig`."""

import gc
import os
import signal
import socket
import sys

from appliance.audio.worker.main_loop import Worker
from appliance.audio.worker.messages import WorkerConfig
from appliance.audio.worker.realtime import kill_with_parent, set_real_time
from appliance.audio.worker.report_queue import ReportQueue

PRIORITY = 55
"""Real-time priority of this thread: below those of the cards."""


def main() -> None:
    """Serve until the daemon is gone; exit without terminating PortAudio, which may hang."""
    parent, descriptor, config = int(sys.argv[1]), int(sys.argv[2]), WorkerConfig.parse(sys.argv[3])
    kill_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which stops this process
    set_real_time(PRIORITY)
    sys.setswitchinterval(0.0005)  # the threads of the cards wait for the interpreter no longer than this
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a collection would cause a gap
    with socket.socket(fileno=descriptor) as connection:
        code = Worker(connection, ReportQueue(connection), config).run()
        sys.stderr.flush()
        os._exit(code)


main()
