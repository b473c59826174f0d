"""The few ways in which a conversation moves; `core/machine.py` says when.

Each returns the new context and its effects. What must be silent or closed comes before the new state is shown, what is
to be started comes after it.
"""

from dataclasses import replace
from typing import Final, TypedDict, Unpack

from appliance.core.effects import (
    Announce,
    BeginSpeech,
    CancelTools,
    CloseLink,
    DiscardReply,
    Earcon,
    Effect,
    Enter,
    FlushPlayback,
    OpenLink,
    PlayEarcon,
)
from appliance.core.events import Fault, Trouble
from appliance.core.state import Context, Listening, Mode, Reply, State, Talk, deadline_s

Step = tuple[Context, tuple[Effect, ...]]


class Changes(TypedDict, total=False):
    """Fields of the context that a move may set."""

    link: int
    linked: bool
    mode: Mode
    talk: Talk
    listening: Listening
    reply: Reply
    epoch: int
    tools: frozenset[str]
    faults: frozenset[Fault]
    trouble: Trouble | None


_AFRESH: Final[Changes] = {
    "linked": False,
    "talk": Talk.NONE,
    "listening": Listening.FIRST,
    "reply": Reply.NONE,
    "epoch": 0,
    "tools": frozenset(),
    "trouble": None,
}


def stay(context: Context, *effects: Effect, **changes: Unpack[Changes]) -> Step:
    """Remain in the state, with the deadline that runs."""
    return replace(context, **changes), effects


def enter(
    context: Context,
    state: State,
    first: tuple[Effect, ...] = (),
    then: tuple[Effect, ...] = (),
    **changes: Unpack[Changes],
) -> Step:
    """Begin a state, or begin it anew with a new deadline."""
    context = replace(context, state=state, entry=context.entry + 1, **changes)
    return context, (*first, Enter(state, context.entry, deadline_s(context)), *then)


def rest(context: Context) -> State:
    """Return the resting state: a fault shows as long as it lasts."""
    return State.FAULT if context.faults else State.IDLE


def hang_up(context: Context, state: State, *then: Effect, **changes: Unpack[Changes]) -> Step:
    """End the conversation: silence, tools, link."""
    return enter(context, state, (*_hush(context), *_drop_tools(context), *_close(context)), then, **_AFRESH | changes)


def leave(context: Context) -> Step:
    """End the conversation as people end one."""
    return hang_up(context, rest(context), PlayEarcon(Earcon.END))


def give_up(context: Context, trouble: Trouble) -> Step:
    """End the conversation because it cannot go on, and say so."""
    return hang_up(context, State.TROUBLE, PlayEarcon(Earcon.ERROR), Announce(trouble), trouble=trouble)


def begin(context: Context, at: int, mode: Mode, link_of: OpenLink | None = None) -> Step:
    """Begin a conversation, or go on in the other mode on a link of its own (``link_of``)."""
    open_link = link_of or OpenLink(context.link + 1, mode, resume=False)
    return hang_up(
        context,
        State.CONNECTING,
        BeginSpeech(at, mode),
        open_link,
        PlayEarcon(Earcon.WAKE),
        link=open_link.link,
        linked=True,
        mode=mode,
        talk=Talk.HELD if mode is Mode.PUSH_TO_TALK else Talk.NONE,
    )


def reconnect(context: Context) -> Step:
    """Go on with a new link and the service's memory of the old one; what is said meanwhile is held."""
    link = context.link + 1
    return enter(
        context,
        State.RECONNECTING,
        (*_hush(context), *_drop_tools(context)),
        (OpenLink(link, context.mode, resume=True),),
        link=link,
        linked=True,
        reply=Reply.NONE,
        epoch=0,
        tools=frozenset(),
    )


def interrupt(context: Context, *then: Effect, talk: Talk, listening: Listening) -> Step:
    """Cut the reply off: silence comes before everything else."""
    return enter(
        context,
        State.INTERRUPTED,
        (FlushPlayback(),),
        then,
        talk=talk,
        listening=listening,
        reply=Reply.NONE,
        epoch=0,
    )


def interrupt_here(context: Context, at: int, talk: Talk) -> Step:
    """Cut the reply off for a reason that the service does not know yet: what still comes of it is dropped."""
    return interrupt(context, DiscardReply(), BeginSpeech(at, context.mode), talk=talk, listening=Listening.FIRST)


def _hush(context: Context) -> tuple[Effect, ...]:
    audible = context.reply is not Reply.NONE or context.state is State.TROUBLE
    return (FlushPlayback(),) if audible else ()


def _drop_tools(context: Context) -> tuple[Effect, ...]:
    return (CancelTools(tuple(sorted(context.tools))),) if context.tools else ()


def _close(context: Context) -> tuple[Effect, ...]:
    return (CloseLink(context.link),) if context.linked else ()
