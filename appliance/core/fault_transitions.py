"""Rows of the transition table for the start, the end, and devices that fail; see `core/machine.py`."""

from dataclasses import replace

from appliance.core.effects import Announce, Ignored, Recover
from appliance.core.events import DeadlineReached, Fault, FaultCleared, FaultRaised, Ready, StopRequested
from appliance.core.state import Context, State, disabled
from appliance.core.steps import Changes, Step, break_off, end_conversation, enter, stay


def ready(c: Context, _: Ready) -> Step:
    """Rest; with a fault, wait until it is cleared."""
    if c.faults:
        return stay(c, Ignored("a device is still broken"))
    return enter(c, State.IDLE)


def start_took_too_long(c: Context, _: DeadlineReached) -> Step:
    """Show a fault; `Ready` may still come."""
    return enter(c, State.FAULT)


def stop(c: Context, _: StopRequested) -> Step:
    """End everything."""
    return end_conversation(c, State.STOPPED)


def fault_raised(c: Context, event: FaultRaised) -> Step:
    """Without microphone, speaker, or a light that is required, end at once; others let a conversation finish."""
    if event.fault in c.faults:
        return stay(c, Ignored("that fault is known"))
    c = replace(c, faults=c.faults | {event.fault})
    if event.fault in disabled(c) or c.state in {State.IDLE, State.STARTING, State.FAULT}:
        return break_off(c, State.FAULT)
    return stay(c)


def fault_cleared(c: Context, event: FaultCleared) -> Step:
    """Note it."""
    return stay(c, **_without(c, event.fault))


def fault_cleared_at_rest(c: Context, event: FaultCleared) -> Step:
    """Rest once the last fault is gone."""
    changes = _without(c, event.fault)
    return enter(c, State.FAULT if changes["faults"] else State.IDLE, **changes)


def recover(c: Context, _: DeadlineReached) -> Step:
    """Try to bring the device back, and wait again; say once that the light does not work, as it cannot show it."""
    told = (Announce(Fault.LIGHT),) if Fault.LIGHT in c.faults and not c.light_told else ()
    return enter(c, State.FAULT, then=(Recover(), *told), light_told=c.light_told or bool(told))


def _without(c: Context, fault: Fault) -> Changes:
    """Return what changes when a fault is cleared; a light that fails again is told again."""
    return {"faults": c.faults - {fault}, "light_told": c.light_told and fault is not Fault.LIGHT}
