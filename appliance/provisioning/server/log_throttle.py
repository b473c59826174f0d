"""Limits how often one kind of line is logged, so that strangers cannot fill the journal."""

import logging
import time
from collections.abc import Callable
from typing import Final

LINES: Final = 100
"""Lines of one kind written in `PERIOD_S`: more than a healthy fleet causes."""
PERIOD_S: Final = 10.0
_KINDS: Final = 1000
"""Kinds that are remembered; one more, and all are forgotten."""


class LogThrottle(logging.Filter):
    """Drops log records above the limit. Lines are of one kind if they differ only in their arguments.

    The first line after a gap says how many were dropped. May be used from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}
        """When a kind's period began, and how many lines it had since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether ``record`` is to be written."""
        now, kind = self._clock(), (record.name, str(record.msg))
        since, count = self._kinds.get(kind, (now, 0))
        if now - since < PERIOD_S:
            if len(self._kinds) >= _KINDS:
                self._kinds.clear()
            self._kinds[kind] = (since, count + 1)
            return count < LINES
        self._kinds[kind] = (now, 1)
        if count > LINES:
            record.msg = f"{record.msg} (and {count - LINES} more like it before)"
        return True
