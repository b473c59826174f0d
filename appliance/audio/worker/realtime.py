"""Real-time priority for threads that serve sound cards."""

import os
from typing import Final

from appliance.audio.worker.messages import Scheduling

PRIORITY: Final = 60
"""Of the threads that PortAudio calls back on; the unit allows up to 70."""


def real_time(priority: int) -> Scheduling:
    """Run this thread before all ordinary ones (SCHED_FIFO), if the system lets it; return what it does."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return Scheduling.ORDINARY
    return Scheduling.REAL_TIME
