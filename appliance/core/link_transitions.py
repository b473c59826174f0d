"""Transitions for links, and for the service's reports on requests; `core/machine.py` says for which state and event.

The first line of each docstring is printed in ``docs/conversation.md``.
"""

from appliance.core.effects import AwaitMore, FinishReply, Ignored, ResendTurn, ResendUnconfirmed, Session
from appliance.core.events import (
    Continuity,
    DeadlineReached,
    InputAwaited,
    InteractionReported,
    LinkDelayed,
    LinkFailed,
    LinkLost,
    LinkOpened,
    PlaybackStalled,
    Trouble,
    TurnRefused,
    Unanswered,
)
from appliance.core.state import Context, Listening, Reply, State, Talk
from appliance.core.steps import Step, drop_tools, enter, give_up, leave, listen, reconnect, stay


def link_opened(c: Context, _: LinkOpened) -> Step:
    """Listen; if the push-to-talk turn has ended, wait for the answer."""
    return enter(c, State.THINKING if c.talk is Talk.RELEASED else State.LISTENING)


def link_opened_again(c: Context, event: LinkOpened) -> Step:
    """Continue; send again what the person said and the session has lost, unless a tool has run for it."""
    whole = event.continuity is Continuity.FULL
    if c.answer_pending and not (c.tools or c.tool_ran):
        return enter(c, State.THINKING, then=(ResendTurn(),), answer_pending=False)
    if c.answer_pending and not whole:
        return give_up(c, Trouble.LOST)
    if c.answer_pending:
        return enter(c, State.THINKING, answer_pending=False)
    again = () if whole or c.tools or c.tool_ran else (ResendUnconfirmed(),)
    c, effects = (c, ()) if whole else stay(c, *drop_tools(c), tools=frozenset())
    c, entering = enter(c, State.THINKING, then=again) if c.talk is Talk.RELEASED else listen(c, *again)
    return c, (*effects, *entering)


def link_delayed(c: Context, event: LinkDelayed) -> Step:
    """Note why, to announce it if the deadline passes."""
    return stay(c, delay=event.trouble)


def link_failed(c: Context, event: LinkFailed | LinkLost) -> Step:
    """Announce the trouble."""
    return give_up(_without_link(c), event.trouble)


def link_lost(c: Context, event: LinkLost) -> Step:
    """Resume the session, up to the limit of attempts."""
    if event.resumable and c.resumptions < c.policy.resumptions:
        return reconnect(_without_link(c))
    return give_up(_without_link(c), event.trouble)


def link_lost_while_listening(c: Context, event: LinkLost) -> Step:
    """Resume the session, up to the limit of attempts; if nobody speaks or waits for anything, end quietly."""
    if c.listening is Listening.FOLLOW_UP and c.talk is not Talk.HELD and not (c.tools or event.speaks):
        return leave(_without_link(c))
    return link_lost(c, event)


def link_lost_while_speaking(c: Context, event: LinkLost) -> Step:
    """Play a complete reply to its end; else resume the session, up to the limit of attempts."""
    if c.reply is not Reply.COMING:
        return enter(_without_link(c), State.FAREWELL, drop_tools(c), tools=frozenset())
    return link_lost(c, event)


def link_lost_in_farewell(c: Context, _: LinkLost) -> Step:
    """Play what has arrived of the farewell, then end the conversation."""
    if c.reply is Reply.NONE:
        return leave(_without_link(c))
    finish = (FinishReply(c.epoch),) if c.reply is Reply.COMING else ()
    return stay(_without_link(c), *drop_tools(c), *finish, reply=Reply.COMPLETE, tools=frozenset())


def connecting_took_too_long(c: Context, _: DeadlineReached) -> Step:
    """Announce the known cause; without one, that there is no network."""
    return give_up(c, c.delay or Trouble.NETWORK)


def unanswered(c: Context, event: Unanswered) -> Step:
    """Ask again on a new session; failing that, announce that the service does not answer, if it was asked."""
    if event.repeatable:
        return _ask_again(c)
    return give_up(c, Trouble.SILENT_SERVICE) if event.heard else leave(c)


def stalled(c: Context, _: PlaybackStalled) -> Step:
    """While tools run, keep waiting; else ask again on a new session; failing that, announce it."""
    return stay(c, AwaitMore()) if c.tools else _ask_again(c)


# Requests that take several turns, and turns that answer nothing


def interaction_reported(c: Context, event: InteractionReported) -> Step:
    """Note it."""
    return stay(c, in_progress=event.in_progress)


def interaction_reported_while_listening(c: Context, event: InteractionReported) -> Step:
    """While the service is working, wait for the answer, unless the person speaks."""
    c = stay(c, in_progress=event.in_progress)[0]
    speaks = c.listening is Listening.SPEECH or c.talk is Talk.HELD
    return enter(c, State.THINKING) if c.in_progress and not speaks else stay(c)


def interaction_reported_while_thinking(c: Context, event: InteractionReported) -> Step:
    """Restart the wait while the service is working; listen once it is done."""
    done = c.in_progress and not (event.in_progress or c.tools)
    c = stay(c, in_progress=event.in_progress)[0]
    if done:
        return listen(stay(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP, tool_ran=False)[0])
    return enter(c, State.THINKING) if c.in_progress else stay(c)


def input_awaited(c: Context, _: InputAwaited) -> Step:
    """Listen: the model waits for the person to continue."""
    if c.tools:
        return stay(c, Ignored("tools run"))
    return listen(stay(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP)[0])


def turn_refused(c: Context, _: TurnRefused) -> Step:
    """Say so."""
    return give_up(c, Trouble.DECLINED)


def turn_refused_in_a_reply(c: Context, _: TurnRefused) -> Step:
    """Play what has arrived of the answer, then say so."""
    return stay(c, cap=c.cap or Trouble.DECLINED)


def _ask_again(c: Context) -> Step:
    if not c.tool_ran and c.resumptions < c.policy.resumptions:
        return reconnect(c, Session.NEW)
    return give_up(c, Trouble.SILENT_SERVICE)


def _without_link(c: Context) -> Context:
    """Return the context without its link: there is nothing left to close."""
    return stay(c, linked=False)[0]
