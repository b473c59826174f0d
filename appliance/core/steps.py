"""Steps that several transitions share: begin, interrupt, reconnect, end.

Each returns the new context and the effects. Effects that silence or close something come before the new state is
shown, those that start something come after it.
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
    ResumePlayback,
    SendText,
    Session,
    StartTimer,
)
from appliance.core.events import ConversationTimeOver, Fault, Trouble
from appliance.core.state import Context, Listening, Mode, Overlap, Reply, State, Talk, Yielding, deadline_s

Step = tuple[Context, tuple[Effect, ...]]


class Changes(TypedDict, total=False):
    """Fields of the context that a transition may set."""

    link: int
    linked: bool
    mode: Mode
    talk: Talk
    listening: Listening
    reply: Reply
    epoch: int
    overlap: Overlap
    echo_cancelled: bool
    yielding: Yielding
    yieldings: int
    voice: bool
    prolonged: bool
    false_pauses: int
    tools: frozenset[str]
    request: int
    overtime: bool
    unanswered: int
    interruptions: int
    answers: int
    asker_unverified: bool
    question: int
    calls: int
    greeted: bool
    tool_ran: bool
    in_progress: bool
    answer_pending: bool
    resumptions: int
    faults: frozenset[Fault]
    light_announced: bool
    delay: Trouble | None
    cap: Trouble | None
    trouble: Trouble | None


_NEW_CONVERSATION: Final[Changes] = {
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
    "asker_unverified": False,
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


def new_question(context: Context) -> Context:
    """Count a new question: the count of tool calls starts again, and an earlier refusal no longer matters."""
    return replace(context, question=context.question + 1, calls=0, cap=_spent(context))


def new_request(context: Context) -> tuple[Context, StartTimer]:
    """Count a request by wake word, button or text: the conversation's time limit starts again."""
    request = context.request + 1
    timer = StartTimer(ConversationTimeOver(request), context.policy.longest_s)
    renewed = replace(new_question(context), request=request, overtime=False, unanswered=0, interruptions=0)
    return replace(renewed, answers=0, asker_unverified=False), timer


def stay(context: Context, *effects: Effect, **changes: Unpack[Changes]) -> Step:
    """Remain in the state; its deadline runs on."""
    return replace(context, **changes) if changes else context, effects


def enter(
    context: Context,
    state: State,
    first: tuple[Effect, ...] = (),
    then: tuple[Effect, ...] = (),
    **changes: Unpack[Changes],
) -> Step:
    """Enter a state, or the same one again, with a new deadline; a reply yields only in SPEAKING."""
    if state is not State.SPEAKING:
        first = first if FlushPlayback() in first else (*unyield(context), *first)
        changes |= {"overlap": Overlap.NONE, "yielding": Yielding.NONE, "voice": False}
    context = replace(context, state=state, entry=context.entry + 1, **changes)
    return context, (*first, Enter(state, context.entry, deadline_s(context)), *then)


def resting_state(context: Context) -> State:
    """Return IDLE, or FAULT while there is a fault."""
    return State.FAULT if context.faults else State.IDLE


def end_conversation(
    context: Context, state: State, *then: Effect, unsent: tuple[DropUnsent, ...] = (), **changes: Unpack[Changes]
) -> Step:
    """End the conversation: silence the reply, drop what is ``unsent``, cancel tools, close the link."""
    first = (*_silence(context), *unsent, *drop_tools(context), *_close(context))
    return enter(context, state, first, then, **_NEW_CONVERSATION | changes)


def leave(context: Context) -> Step:
    """End the conversation without any trouble."""
    return end_conversation(context, resting_state(context), PlayEarcon(Earcon.END))


def say_goodbye(context: Context) -> Step:
    """Have the model say goodbye, then end the conversation."""
    return enter(context, State.FAREWELL, then=(SendText(context.policy.farewell),), reply=Reply.NONE, epoch=0)


def listen(context: Context, *then: Effect) -> Step:
    """Listen to the person, unless the conversation has reached its spending cap or its time limit."""
    if context.talk is Talk.HELD or not (context.cap or context.overtime):
        return enter(context, State.LISTENING, then=then)
    return give_up(context, context.cap) if context.cap else say_goodbye(context)


def break_off(context: Context, state: State, *then: Effect, **changes: Unpack[Changes]) -> Step:
    """End the conversation at once; audio that was not sent stays on the device."""
    return end_conversation(context, state, *then, unsent=(DropUnsent(),), **changes)


def give_up(context: Context, trouble: Trouble) -> Step:
    """End the conversation with a spoken message about the trouble."""
    return break_off(context, State.TROUBLE, PlayEarcon(Earcon.ERROR), Announce(trouble), trouble=trouble)


def begin(context: Context, at: int, mode: Mode) -> Step:
    """Begin a conversation; if one is under way, continue it in this mode on a new link."""
    talk = Talk.HELD if mode is Mode.PUSH_TO_TALK else Talk.NONE
    return _begin(context, mode, talk, BeginSpeech(at, mode))


def begin_with_text(context: Context, text: str) -> Step:
    """Begin a conversation with a text, as a finished push-to-talk turn: the microphone stays closed."""
    return _begin(context, Mode.PUSH_TO_TALK, Talk.RELEASED, SendText(text))


def _begin(context: Context, mode: Mode, talk: Talk, said: BeginSpeech | SendText) -> Step:
    context, timer = new_request(context)
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
    """Continue on a new link; speech is held until it opens, and tools keep running.

    A reply that was under way is lost, and is pending on the new link.
    """
    link = context.link + 1
    has_the_word = context.state in {State.LISTENING, State.INTERRUPTED}
    return enter(
        context,
        State.RECONNECTING,
        (*_silence(context), *_close(context)),
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


def interrupt(context: Context, *then: Effect, **changes: Unpack[Changes]) -> Step:
    """Interrupt the reply: silence comes before everything else."""
    ended: Changes = {"reply": Reply.NONE, "epoch": 0, "cap": _spent(context)}
    return enter(context, State.INTERRUPTED, (FlushPlayback(),), then, **ended | changes)


def interrupt_locally(context: Context, at: int, talk: Talk) -> Step:
    """Interrupt the reply for a reason that the service does not know: drop the rest of its audio."""
    context, timer = new_request(context)
    context = replace(context, tool_ran=bool(context.tools))
    said = (DiscardReply(), BeginSpeech(at, context.mode), timer)
    return interrupt(context, *said, talk=talk, listening=Listening.FIRST)


def unyield(context: Context) -> tuple[ResumePlayback, ...]:
    """Return the effect that plays the reply on if it yields."""
    return () if context.yielding is Yielding.NONE else (ResumePlayback(),)


def drop_tools(context: Context) -> tuple[Effect, ...]:
    """Return the effect that cancels running calls, if there are any."""
    return (CancelTools(tuple(sorted(context.tools))),) if context.tools else ()


def _spent(context: Context) -> Trouble | None:
    """Return the cap that was reached; a refused answer no longer counts once the person goes on."""
    return None if context.cap is Trouble.DECLINED else context.cap


def _silence(context: Context) -> tuple[Effect, ...]:
    """Return the effects that silence a reply, including audio not yet played, or a trouble message."""
    if context.reply is not Reply.NONE:
        return (FlushPlayback(), DiscardReply())
    return (FlushPlayback(),) if context.state is State.TROUBLE else ()


def _close(context: Context) -> tuple[Effect, ...]:
    return (CloseLink(context.link),) if context.linked else ()
