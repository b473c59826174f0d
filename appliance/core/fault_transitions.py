"""Transitions for the start, the end, and devices that fail; `core/machine.py` says for which state and event."""

from dataclasses import replace

from appliance.core.effects import Announce, Ignored, Recover
from appliance.core.events import DeadlineReached, Fault, FaultCleared, FaultRaised, Ready, StopRequested
from appliance.core.state import Context, State, disabled
from appliance.core.steps import Changes, Step, break_off, end_conversation, enter, stay


def ready(c: Context, _: Ready) -> Step:
    """Go to IDLE; with a fault, wait until it is cleared."""
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
    """End at once without microphone, speaker or a required light; other faults let the conversation finish."""
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
    """Go to IDLE once the last fault is cleared."""
    changes = _without(c, event.fault)
    return enter(c, State.FAULT if changes["faults"] else State.IDLE, **changes)


def recover(c: Context, _: DeadlineReached) -> Step:
    """Retry the device and wait again; announce a broken light once, as it cannot show its own fault."""
    announcement = (Announce(Fault.LIGHT),) if Fault.LIGHT in c.faults and not c.light_announced else ()
    return enter(
        c, State.FAULT, then=(Recover(), *announcement), light_announced=c.light_announced or bool(announcement)
    )


def _without(c: Context, fault: Fault) -> Changes:
    """Return the changes when a fault is cleared; a light that fails again is announced again."""
    return {"faults": c.faults - {fault}, "light_announced": c.light_announced and fault is not Fault.LIGHT}
