"""``python -m appliance.audio.worker``: started by the supervisor alone, with a socket and a `WorkerConfig`."""

import gc
import os
import signal
import socket
import sys

from appliance.audio.worker.main_loop import Worker
from appliance.audio.worker.messages import WorkerConfig
from appliance.audio.worker.parent_death import die_with
from appliance.audio.worker.realtime import real_time
from appliance.audio.worker.report_queue import ReportQueue

PRIORITY = 55
"""Of this thread: below those of the cards."""


def main() -> None:
    """Serve until the daemon is gone; leave without PortAudio's farewell, which may hang."""
    parent, descriptor, wanted = int(sys.argv[1]), int(sys.argv[2]), WorkerConfig.parse(sys.argv[3])
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends this process
    real_time(PRIORITY)
    sys.setswitchinterval(0.0005)  # the threads of the cards wait for the interpreter no longer than this
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a collection is heard
    with socket.socket(fileno=descriptor) as connection:
        code = Worker(connection, ReportQueue(connection), wanted).run()
        sys.stderr.flush()
        os._exit(code)


main()
