"""Real-time priority for threads that serve sound cards, and an end together with the parent process."""

import ctypes
import os
import signal
from typing import Final

from appliance.audio.worker.messages import Scheduling

PRIORITY: Final = 60
"""Priority of PortAudio's callback threads; the systemd unit allows up to 70."""
_PR_SET_PDEATHSIG: Final = 1
"""prctl(2)."""


def set_real_time(priority: int) -> Scheduling:
    """Run this thread before all ordinary ones (SCHED_FIFO) if the system allows it; return its scheduling."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return Scheduling.ORDINARY
    return Scheduling.REAL_TIME


def kill_with_parent(parent: int) -> None:
    """Have this process killed when process ``parent``, which started it, ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call
        os._exit(0)
