"""Checks of the wake word."""

from typing import Final

from appliance.doctor.finding import Check, Finding, Severity
from appliance.errors import ApplianceError
from appliance.settings import OpenWakeWord, Settings
from appliance.wake.models import load


def model(settings: Settings) -> Finding:
    """Tell whether the graph is there and is what was shipped."""
    if not isinstance(settings.wake, OpenWakeWord):
        return Finding("wake word", Severity.NOTE, "switched off: only the button begins a conversation")
    try:
        load(settings.wake.model)
    except ApplianceError as error:
        return Finding("wake word", Severity.PROBLEM, str(error), "install it again, or choose another wake.model")
    return Finding("wake word", Severity.OK, f"{settings.wake.model} is there")


CHECKS: Final[tuple[Check, ...]] = (model,)
