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
    resumptions: int
    faults: frozenset[Fault]
    trouble: Trouble | None


_AFRESH: Final[Changes] = {
    "linked": False,
    "talk": Talk.NONE,
    "listening": Listening.FIRST,
    "reply": Reply.NONE,
    "epoch": 0,
    "tools": frozenset(),
    "resumptions": 0,
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
    return enter(context, state, (*_hush(context), *drop_tools(context), *_close(context)), then, **_AFRESH | changes)


def leave(context: Context) -> Step:
    """End the conversation as people end one."""
    return hang_up(context, rest(context), PlayEarcon(Earcon.END))


def give_up(context: Context, trouble: Trouble) -> Step:
    """End the conversation because it cannot go on, and say so."""
    return hang_up(context, State.TROUBLE, PlayEarcon(Earcon.ERROR), Announce(trouble), trouble=trouble)


def begin(context: Context, at: int, mode: Mode) -> Step:
    """Begin a conversation; out of one that has not ended, go on in this mode on a link of its own."""
    link = context.link + 1
    resume = context.state in {State.LISTENING, State.THINKING, State.SPEAKING}
    return hang_up(
        context,
        State.CONNECTING,
        BeginSpeech(at, mode),
        OpenLink(link, mode, resume),
        PlayEarcon(Earcon.WAKE),
        link=link,
        linked=True,
        mode=mode,
        talk=Talk.HELD if mode is Mode.PUSH_TO_TALK else Talk.NONE,
    )


def reconnect(context: Context) -> Step:
    """Go on with a new link and the service's memory of the old one; what is said meanwhile is held.

    An answer that was on its way is lost: the person has the word again.
    """
    link = context.link + 1
    has_the_word = context.state in {State.LISTENING, State.INTERRUPTED}
    return enter(
        context,
        State.RECONNECTING,
        (*_hush(context), *drop_tools(context)),
        (OpenLink(link, context.mode, resume=True),),
        link=link,
        linked=True,
        listening=context.listening if has_the_word else Listening.FIRST,
        reply=Reply.NONE,
        epoch=0,
        tools=frozenset(),
        resumptions=context.resumptions + 1,
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


def drop_tools(context: Context) -> tuple[Effect, ...]:
    """Return what stops the calls that run, if there are any."""
    return (CancelTools(tuple(sorted(context.tools))),) if context.tools else ()


def _hush(context: Context) -> tuple[Effect, ...]:
    """Silence a reply, what is still on its way to playback too; or the sentence that tells of a trouble."""
    if context.reply is not Reply.NONE:
        return (FlushPlayback(), DiscardReply())
    return (FlushPlayback(),) if context.state is State.TROUBLE else ()


def _close(context: Context) -> tuple[Effect, ...]:
    return (CloseLink(context.link),) if context.linked else ()
