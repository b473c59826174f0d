"""``python -m appliance.audio.worker``: started by `audio.engine` alone, with a socket and a `Wanted`."""

import gc
import os
import signal
import socket
import sys

from appliance.audio.realtime import real_time
from appliance.audio.wire import Wanted
from appliance.audio.worker.lifeline import die_with
from appliance.audio.worker.outbox import Outbox
from appliance.audio.worker.program import Worker

PRIORITY = 55
"""Of this thread: below those of the cards."""


def main() -> None:
    """Serve until the daemon is gone; leave without PortAudio's farewell, which may hang."""
    parent, descriptor, wanted = int(sys.argv[1]), int(sys.argv[2]), Wanted.parse(sys.argv[3])
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends this process
    real_time(PRIORITY)
    sys.setswitchinterval(0.0005)  # the threads of the cards wait for the interpreter no longer than this
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a collection is heard
    with socket.socket(fileno=descriptor) as connection:
        code = Worker(connection, Outbox(connection), wanted).run()
        sys.stderr.flush()
        os._exit(code)


main()
