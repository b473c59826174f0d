"""The time of day where the device is: for people and for calendar days, never for durations."""

import time
from datetime import datetime


def local_now() -> datetime:
    """Return the wall-clock time in the device's time zone, also where the zone was changed since the process began.

    libc reads the zone once for `localtime_r`, which Python uses; `tzset` reads it again where it has changed.
    """
    time.tzset()
    return datetime.now().astimezone()
