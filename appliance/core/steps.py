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
    DropUnsent,
    Earcon,
    Effect,
    Enter,
    FlushPlayback,
    OpenLink,
    PlayEarcon,
    SendText,
    Session,
    StartTimer,
)
from appliance.core.events import ConversationTimeOver, Fault, Trouble
from appliance.core.state import Context, Listening, Mode, Overlap, Reply, State, Talk, deadline_s

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
    overlap: Overlap
    tools: frozenset[str]
    request: int
    overtime: bool
    unanswered: int
    interruptions: int
    answers: int
    unproved: bool
    question: int
    calls: int
    greeted: bool
    tool_ran: bool
    in_progress: bool
    answer_pending: bool
    resumptions: int
    faults: frozenset[Fault]
    light_told: bool
    delay: Trouble | None
    cap: Trouble | None
    trouble: Trouble | None


_AFRESH: Final[Changes] = {
    "linked": False,
    "talk": Talk.NONE,
    "listening": Listening.FIRST,
    "reply": Reply.NONE,
    "epoch": 0,
    "tools": frozenset(),
    "overtime": False,
    "unanswered": 0,
    "interruptions": 0,
    "answers": 0,
    "unproved": False,
    "calls": 0,
    "greeted": False,
    "tool_ran": False,
    "in_progress": False,
    "answer_pending": False,
    "resumptions": 0,
    "delay": None,
    "cap": None,
    "trouble": None,
}


def asks(context: Context) -> Context:
    """The person says something new: tools may be called for it anew, and what was declined is no reason to end."""
    return replace(context, question=context.question + 1, calls=0, cap=_spent(context))


def takes_the_word(context: Context) -> tuple[Context, StartTimer]:
    """The person shows, by wake word, button or in writing, that they want the conversation: its time begins anew."""
    request = context.request + 1
    timer = StartTimer(ConversationTimeOver(request), context.policy.longest_s)
    renewed = replace(asks(context), request=request, overtime=False, unanswered=0, interruptions=0)
    return replace(renewed, answers=0, unproved=False), timer


def stay(context: Context, *effects: Effect, **changes: Unpack[Changes]) -> Step:
    """Remain in the state, with the deadline that runs."""
    return replace(context, **changes) if changes else context, effects


def enter(
    context: Context,
    state: State,
    first: tuple[Effect, ...] = (),
    then: tuple[Effect, ...] = (),
    **changes: Unpack[Changes],
) -> Step:
    """Begin a state, or begin it anew with a new deadline."""
    if state is not State.SPEAKING:
        changes["overlap"] = Overlap.NONE
    context = replace(context, state=state, entry=context.entry + 1, **changes)
    return context, (*first, Enter(state, context.entry, deadline_s(context)), *then)


def rest(context: Context) -> State:
    """Return the resting state: a fault shows as long as it lasts."""
    return State.FAULT if context.faults else State.IDLE


def end_conversation(
    context: Context, state: State, *then: Effect, unsent: tuple[DropUnsent, ...] = (), **changes: Unpack[Changes]
) -> Step:
    """End the conversation: silence, what is ``unsent`` if it is to be dropped, tools, link."""
    first = (*_hush(context), *unsent, *drop_tools(context), *_close(context))
    return enter(context, state, first, then, **_AFRESH | changes)


def leave(context: Context) -> Step:
    """End the conversation as people end one."""
    return end_conversation(context, rest(context), PlayEarcon(Earcon.END))


def say_goodbye(context: Context) -> Step:
    """End the conversation once the model has said goodbye."""
    return enter(context, State.FAREWELL, then=(SendText(context.policy.farewell),), reply=Reply.NONE, epoch=0)


def listen(context: Context, *then: Effect) -> Step:
    """Give the person the word, unless the conversation has cost or lasted all that it may."""
    if context.talk is Talk.HELD or not (context.cap or context.overtime):
        return enter(context, State.LISTENING, then=then)
    return give_up(context, context.cap) if context.cap else say_goodbye(context)


def break_off(context: Context, state: State, *then: Effect, **changes: Unpack[Changes]) -> Step:
    """End the conversation before it is over: what is unsent stays here."""
    return end_conversation(context, state, *then, unsent=(DropUnsent(),), **changes)


def give_up(context: Context, trouble: Trouble) -> Step:
    """End the conversation because it cannot go on, and say so."""
    return break_off(context, State.TROUBLE, PlayEarcon(Earcon.ERROR), Announce(trouble), trouble=trouble)


def begin(context: Context, at: int, mode: Mode) -> Step:
    """Begin a conversation; out of one that has not ended, go on in this mode on a link of its own."""
    talk = Talk.HELD if mode is Mode.PUSH_TO_TALK else Talk.NONE
    return _begin(context, mode, talk, BeginSpeech(at, mode))


def begin_in_writing(context: Context, text: str) -> Step:
    """Begin a conversation with a text: as a push-to-talk turn that is over, so that the microphone stays closed."""
    return _begin(context, Mode.PUSH_TO_TALK, Talk.RELEASED, SendText(text))


def _begin(context: Context, mode: Mode, talk: Talk, said: BeginSpeech | SendText) -> Step:
    context, timer = takes_the_word(context)
    link = context.link + 1
    goes_on = context.state in {State.LISTENING, State.THINKING, State.SPEAKING}
    return end_conversation(
        context,
        State.CONNECTING,
        OpenLink(link, mode, Session.RESUME if goes_on else Session.CONTINUE_IF_RECENT),
        said,
        timer,
        PlayEarcon(Earcon.WAKE),
        link=link,
        linked=True,
        mode=mode,
        talk=talk,
    )


def reconnect(context: Context, session: Session = Session.RESUME) -> Step:
    """Go on with a new link; what is said meanwhile is held, and tools run on.

    An answer that was on its way is lost; the next link has to bring it.
    """
    link = context.link + 1
    has_the_word = context.state in {State.LISTENING, State.INTERRUPTED}
    return enter(
        context,
        State.RECONNECTING,
        (*_hush(context), *_close(context)),
        (OpenLink(link, context.mode, session),),
        link=link,
        linked=True,
        listening=context.listening if has_the_word else Listening.FIRST,
        reply=Reply.NONE,
        epoch=0,
        answer_pending=not has_the_word,
        resumptions=context.resumptions + 1,
        in_progress=False,
        delay=None,
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
        cap=_spent(context),
    )


def interrupt_here(context: Context, at: int, talk: Talk) -> Step:
    """Cut the reply off for a reason that the service does not know yet: what still comes of it is dropped."""
    context, timer = takes_the_word(context)
    context = replace(context, tool_ran=bool(context.tools))
    said = (DiscardReply(), BeginSpeech(at, context.mode), timer)
    return interrupt(context, *said, talk=talk, listening=Listening.FIRST)


def drop_tools(context: Context) -> tuple[Effect, ...]:
    """Return what stops the calls that run, if there are any."""
    return (CancelTools(tuple(sorted(context.tools))),) if context.tools else ()


def _spent(context: Context) -> Trouble | None:
    """Return the cap that was reached; an answer that was declined is none, once the person goes on."""
    return None if context.cap is Trouble.DECLINED else context.cap


def _hush(context: Context) -> tuple[Effect, ...]:
    """Silence a reply, what is still on its way to playback too; or the sentence that tells of a trouble."""
    if context.reply is not Reply.NONE:
        return (FlushPlayback(), DiscardReply())
    return (FlushPlayback(),) if context.state is State.TROUBLE else ()


def _close(context: Context) -> tuple[Effect, ...]:
    return (CloseLink(context.link),) if context.linked else ()
