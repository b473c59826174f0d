"""What the rows of the transition table do about links; `core/machine.py` says for which state and event.

The first line of each docstring is printed in ``docs/conversation.md``.
"""

from appliance.core.effects import AwaitMore, FinishReply, ResendTurn, ResendUnconfirmed, Session
from appliance.core.events import (
    Continuity,
    DeadlineReached,
    LinkDelayed,
    LinkFailed,
    LinkLost,
    LinkOpened,
    PlaybackStalled,
    Trouble,
    Unanswered,
)
from appliance.core.state import Context, Listening, Reply, State, Talk
from appliance.core.steps import Step, drop_tools, enter, give_up, leave, listen, reconnect, stay


def link_opened(c: Context, _: LinkOpened) -> Step:
    """Listen; if the push-to-talk turn is over already, wait for the answer."""
    return enter(c, State.THINKING if c.talk is Talk.RELEASED else State.LISTENING)


def link_opened_again(c: Context, event: LinkOpened) -> Step:
    """Go on; what was said and is lost with its session is sent again, unless a tool has acted upon it."""
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
    """Remember why, to tell it if the time is over."""
    return stay(c, delay=event.trouble)


def link_failed(c: Context, event: LinkFailed | LinkLost) -> Step:
    """Tell what is wrong."""
    return give_up(_unlinked(c), event.trouble)


def link_lost(c: Context, event: LinkLost) -> Step:
    """Resume, unless that has not helped before."""
    if event.resumable and c.resumptions < c.policy.resumptions:
        return reconnect(_unlinked(c))
    return give_up(_unlinked(c), event.trouble)


def link_lost_while_listening(c: Context, event: LinkLost) -> Step:
    """Resume, unless that has not helped before; where nobody speaks or is waiting for anything, end quietly."""
    if c.listening is Listening.FOLLOW_UP and c.talk is not Talk.HELD and not (c.tools or event.speaks):
        return leave(_unlinked(c))
    return link_lost(c, event)


def link_lost_while_speaking(c: Context, event: LinkLost) -> Step:
    """Play a complete reply to its end; else resume, unless that has not helped before."""
    if c.reply is not Reply.COMING:
        return enter(_unlinked(c), State.FAREWELL, drop_tools(c), tools=frozenset())
    return link_lost(c, event)


def link_lost_in_farewell(c: Context, _: LinkLost) -> Step:
    """Play what there is of the farewell, then rest."""
    if c.reply is Reply.NONE:
        return leave(_unlinked(c))
    finish = (FinishReply(c.epoch),) if c.reply is Reply.COMING else ()
    return stay(_unlinked(c), *drop_tools(c), *finish, reply=Reply.COMPLETE, tools=frozenset())


def connecting_took_too_long(c: Context, _: DeadlineReached) -> Step:
    """Tell what is in the way; if nothing is known, that the network does not answer."""
    return give_up(c, c.delay or Trouble.NETWORK)


def unanswered(c: Context, event: Unanswered) -> Step:
    """Ask once more on a new session; where that cannot be, tell that the service does not answer, if it was asked."""
    if event.repeatable:
        return _ask_again(c)
    return give_up(c, Trouble.SILENT_SERVICE) if event.heard else leave(c)


def stalled(c: Context, _: PlaybackStalled) -> Step:
    """While tools run, wait on; else ask once more on a new session; where that cannot be, say that it broke off."""
    return stay(c, AwaitMore()) if c.tools else _ask_again(c)


def _ask_again(c: Context) -> Step:
    if not c.tool_ran and c.resumptions < c.policy.resumptions:
        return reconnect(c, Session.NEW)
    return give_up(c, Trouble.SILENT_SERVICE)


def _unlinked(c: Context) -> Context:
    """Return the context once its link is gone: there is nothing left to close."""
    return stay(c, linked=False)[0]
