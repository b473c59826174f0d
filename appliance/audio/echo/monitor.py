"""Follows the echo canceller: decides whether replies are free of echo, and logs changes."""

from collections.abc import Callable
from math import inf
from typing import Final

from appliance import log
from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.handling import EchoHandling
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.status import EchoStatus
from appliance.clock import loop_time
from appliance.units import Seconds

NO_ECHO_S: Final = 5.0
"""Time of replies in which the canceller would have found an echo, if the microphone heard one: in a headset it does
not."""
DELAY_CHANGE_S: Final = 0.010
"""Least change of the delay that is logged."""
DRIFT_CHANGE_PPM: Final = 20.0
"""Least change of the drift that is logged."""
LOG_PAUSE_S: Final = 10.0
"""Least time between two log lines."""


def log_choice(handling: EchoHandling, barge_in: str) -> None:
    """Log what takes the echo away, what interrupts a reply, and why; ``barge_in`` is the setting."""
    automatic = barge_in == "auto"
    log.event(
        "echo.chosen",
        aec=handling.aec.value,
        barge_in=handling.barge_in.value if automatic else barge_in,
        reason=handling.reason if automatic else "the settings say so",
    )


class EchoMonitor:
    """Loop thread only."""

    def __init__(self, aec: Aec, on_change: Callable[[bool], None]) -> None:
        """``on_change`` gets whether the echo is cancelled, at the first `check` and whenever that changes."""
        self._aec = aec
        self._on_change = on_change
        self._cancelled: bool | None = None
        self._heard_s = 0.0
        """Time of replies without an echo so far."""
        self._status: EchoStatus | None = None
        self._logged: EchoStatus | None = None
        self._logged_at = -inf

    def played(self, duration: Seconds) -> None:
        """Note that a reply was played for this long."""
        self._heard_s += duration

    def check(self, status: EchoStatus | None) -> None:
        """Take the canceller's newest status; None: there is no canceller."""
        self._status = status
        cancelled = self._is_cancelled(status)
        if cancelled is not self._cancelled:
            self._cancelled = cancelled
            self._on_change(cancelled)
        now = loop_time()
        if self._is_news(status) and now >= self._logged_at + LOG_PAUSE_S:
            self._logged, self._logged_at = status, now
            _log(status)

    def later_than(self, known_s: Seconds) -> Seconds | None:
        """Return by how much the echo is later than that; None if no canceller has measured it."""
        if self._status is None or self._status.delay_s is None:
            return None
        return Seconds(max(0.0, self._status.delay_s - known_s))

    def _is_cancelled(self, status: EchoStatus | None) -> bool:
        if self._aec is Aec.OFF:
            return True
        if status is None or self._aec is Aec.HALF_DUPLEX:
            return False
        if status.state is CancellerState.COLD and status.delay_s is None:
            return self._heard_s >= NO_ECHO_S
        self._heard_s = 0.0
        return status.state is CancellerState.CONVERGED

    def _is_news(self, status: EchoStatus | None) -> bool:
        before = self._logged
        if status is None or before is None:
            return status is not before
        if status.state is not before.state or (status.delay_s is None) is not (before.delay_s is None):
            return True
        moved_s = abs((status.delay_s or 0.0) - (before.delay_s or 0.0))
        return moved_s > DELAY_CHANGE_S or abs(status.ppm - before.ppm) > DRIFT_CHANGE_PPM


def _log(status: EchoStatus | None) -> None:
    if status is None:
        log.event("echo.changed", level="warning", state="none")
        return
    log.event(
        "echo.changed",
        state=status.state.value,
        erle_db=round(status.erle_db, 1),
        delay_ms=None if status.delay_s is None else round(status.delay_s * 1000, 1),
        ppm=round(status.ppm, 1),
    )
