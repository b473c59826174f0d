"""Gathers what `appliance status` shows."""

from collections.abc import Sequence
from typing import Final

from appliance import __version__
from appliance.adapters import Adapters
from appliance.audio.worker.messages import Opened
from appliance.clock import loop_time
from appliance.config.devices import OpenWakeWordSettings
from appliance.config.schema import Settings
from appliance.conversation import Moment
from appliance.core.events import Fault
from appliance.core.state import Context, State
from appliance.indicator.patterns import meaning_of
from appliance.service.device_supervisor import DeviceSupervisor
from appliance.service.status import REMEDIES, DaemonStatus, EchoCancellationStatus, FaultStatus, SoundCardStatus

_LONGEST_REASON: Final = 300
"""Characters of a fault's reason."""


class StatusReporter:
    """Knows since when the state lasts, and asks the parts for the rest. Loop thread only."""

    def __init__(self, settings: Settings, chosen: Adapters, devices: Sequence[DeviceSupervisor]) -> None:
        """``devices`` know why they have failed."""
        self._settings = settings
        self._chosen = chosen
        self._devices = {device.fault: device for device in devices}
        self._started_at = self._entered_at = loop_time()

    def on_moment(self, moment: Moment) -> None:
        """Note when a state begins."""
        if moment.after.state is not moment.before.state:
            self._entered_at = loop_time()

    def status(self, context: Context) -> DaemonStatus:
        """Return how the daemon stands now."""
        now, wake = loop_time(), self._settings.wake
        automatic = self._settings.conversation.barge_in == "auto"
        faults = [fault for fault in Fault if fault in context.faults]
        kind = context.trouble if context.state is State.TROUBLE else next(iter(faults), None)
        return DaemonStatus(
            version=__version__,
            running_s=now - self._started_at,
            state=context.state,
            meaning=meaning_of(context.state, kind),
            state_s=now - self._entered_at,
            faults=tuple(self._fault(fault) for fault in faults),
            cards=tuple(_card(opened) for opened in self._chosen.cards()),
            wake_word=wake.model if isinstance(wake, OpenWakeWordSettings) else None,
            barge_in=context.policy.barge_in,
            barge_in_reason=self._chosen.echo_handling.reason if automatic else "",
            echo=self._echo(cancelled=context.echo_cancelled),
        )

    def _echo(self, *, cancelled: bool) -> EchoCancellationStatus:
        mode, status = self._chosen.echo_handling.aec.value, self._chosen.echo()
        if status is None:
            return EchoCancellationStatus(mode=mode, cancelled=cancelled)
        return EchoCancellationStatus(
            mode=mode,
            cancelled=cancelled,
            state=status.state.value,
            erle_db=status.erle_db,
            delay_s=status.delay_s,
            ppm=status.ppm,
        )

    def _fault(self, fault: Fault) -> FaultStatus:
        reason = self._devices[fault].reason if fault in self._devices else ""
        return FaultStatus(part=fault, reason=reason[:_LONGEST_REASON], remedy=REMEDIES[fault])


def _card(opened: Opened) -> SoundCardStatus:
    return SoundCardStatus(
        direction=opened.direction.noun,
        name=opened.label,
        rate_hz=opened.rate_hz,
        scheduling=opened.scheduling.value,
    )
