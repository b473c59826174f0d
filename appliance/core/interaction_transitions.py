"""Transitions for requests that take several turns, and for turns that answer nothing.

The first line of each docstring is printed in ``docs/conversation.md``.
"""

from appliance.core.effects import Ignored
from appliance.core.events import InputAwaited, InteractionReported, Trouble, TurnRefused
from appliance.core.state import Context, Listening, State, Talk
from appliance.core.steps import Step, enter, give_up, listen, stay


def interaction_reported(c: Context, event: InteractionReported) -> Step:
    """Note it."""
    return stay(c, in_progress=event.in_progress)


def interaction_reported_while_listening(c: Context, event: InteractionReported) -> Step:
    """While the service works on, wait for the answer, unless the person speaks."""
    c = stay(c, in_progress=event.in_progress)[0]
    speaks = c.listening is Listening.SPEECH or c.talk is Talk.HELD
    return enter(c, State.THINKING) if c.in_progress and not speaks else stay(c)


def interaction_reported_while_thinking(c: Context, event: InteractionReported) -> Step:
    """Wait anew while the service works on; listen again once it is done."""
    done = c.in_progress and not (event.in_progress or c.tools)
    c = stay(c, in_progress=event.in_progress)[0]
    if done:
        return listen(stay(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP, tool_ran=False)[0])
    return enter(c, State.THINKING) if c.in_progress else stay(c)


def input_awaited(c: Context, _: InputAwaited) -> Step:
    """Give the person time to go on."""
    if c.tools:
        return stay(c, Ignored("tools run"))
    return listen(stay(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP)[0])


def turn_refused(c: Context, _: TurnRefused) -> Step:
    """Say so."""
    return give_up(c, Trouble.DECLINED)


def turn_refused_in_a_reply(c: Context, _: TurnRefused) -> Step:
    """Let what there is of the answer be heard, then say so."""
    return stay(c, cap=c.cap or Trouble.DECLINED)
