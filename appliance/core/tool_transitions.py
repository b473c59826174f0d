"""Transitions for tools; `core/machine.py` says for which state and event.

The first line of each docstring is printed in ``docs/conversation.md``.
"""

from appliance.core.effects import (
    AwaitMore,
    CancelTools,
    Earcon,
    Ignored,
    PlayEarcon,
    RefuseTools,
    SendToolResult,
    StartTimer,
    StartTools,
)
from appliance.core.events import ToolDone, ToolsCalled, ToolsCancelled, ToolSlow, ToolTimeOver, Trouble
from appliance.core.state import Context, Reply, State, Talk
from appliance.core.steps import Step, enter, give_up, stay


def tools_called(c: Context, event: ToolsCalled) -> Step:
    """Run them; refuse those beyond the limit for one question; if the model calls more after that, give up."""
    if _ignores_refusal(c):
        return give_up(c, Trouble.SILENT_SERVICE)
    new = tuple(call for call in event.calls if call not in c.tools)
    left = max(0, c.policy.tool_calls - c.calls)
    run, refused = new[:left], new[left:]
    effects = (
        *((StartTimer(ToolTimeOver(c.question), c.policy.tool_time_s),) if not c.calls else ()),
        *((StartTools(run),) if run else ()),
        *((RefuseTools(refused),) if refused else ()),
    )
    return stay(c, *effects, tools=c.tools | set(new), calls=c.calls + len(new), tool_ran=True)


def tools_called_in_silence(c: Context, event: ToolsCalled) -> Step:
    """Do the same, and wait for the answer unless the button is held."""
    if _ignores_refusal(c):
        return give_up(c, Trouble.SILENT_SERVICE)
    c, effects = tools_called(c, event)
    return stay(c, *effects) if c.talk is Talk.HELD else enter(c, State.THINKING, then=effects)


def _ignores_refusal(c: Context) -> bool:
    """Return whether the model calls a tool although earlier calls were refused as too many."""
    return c.calls > c.policy.tool_calls and not c.tools


def tool_time_over(c: Context, _: ToolTimeOver) -> Step:
    """Refuse further calls for this question."""
    return stay(c, calls=max(c.calls, c.policy.tool_calls))


def tools_cancelled(c: Context, event: ToolsCancelled) -> Step:
    """Stop them."""
    known = tuple(call for call in event.calls if call in c.tools)
    if not known:
        return stay(c, Ignored("stale: those tool calls are over"))
    return stay(c, CancelTools(known), tools=c.tools - set(known))


def tool_done(c: Context, event: ToolDone) -> Step:
    """Send the result, now or once the link is open again, and restart the wait for the answer."""
    tools = c.tools - {event.call}
    result = SendToolResult(event.call)
    if c.state in {State.THINKING, State.FAREWELL}:
        return enter(c, c.state, then=(result,), tools=tools)
    if c.state is State.SPEAKING:
        reply = c.reply if c.reply is Reply.COMING else Reply.CONTINUED
        return stay(c, result, AwaitMore(), tools=tools, reply=reply)
    return stay(c, result, tools=tools)


def tool_slow(c: Context, _: ToolSlow) -> Step:
    """Play a sound that shows that something is going on."""
    return stay(c, PlayEarcon(Earcon.WORKING))
