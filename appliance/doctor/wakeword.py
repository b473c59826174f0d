"""Checks of the wake word."""

from typing import Final

from appliance import app
from appliance.config.devices import OpenWakeWord
from appliance.config.schema import Settings
from appliance.doctor.finding import Check, Finding, Severity
from appliance.errors import ApplianceError


def model(settings: Settings) -> Finding:
    """Tell whether the graphs are what was shipped, and can be computed as the daemon does."""
    make = app.wake_engine(settings)
    if make is None or not isinstance(settings.wake, OpenWakeWord):
        return Finding("wake word", Severity.NOTE, "switched off: only the button begins a conversation")
    try:
        make()
    except ApplianceError as error:
        return Finding("wake word", Severity.PROBLEM, str(error), "install it again, or choose another wake.model")
    return Finding("wake word", Severity.OK, f"{settings.wake.model} is there, and computes")


CHECKS: Final[tuple[Check, ...]] = (model,)
