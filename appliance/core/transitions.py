"""Transitions for speech, replies, buttons and text; `core/machine.py` says for which state and event.

The first line of each docstring is printed in ``docs/conversation.md``.
"""

from appliance.core.effects import (
    Announce,
    BeginSpeech,
    CheckWhoAsked,
    DiscardReply,
    Earcon,
    EndSpeech,
    FinishReply,
    FlushPlayback,
    Ignored,
    PlayEarcon,
    SendText,
)
from appliance.core.events import (
    ButtonPressed,
    ButtonReleased,
    CapReached,
    ConversationTimeOver,
    DeadlineReached,
    EndRequested,
    Event,
    Fault,
    NobodyAsked,
    OverlapEnded,
    PlaybackDrained,
    Press,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    ServerInterrupted,
    TextEntered,
    Trouble,
    UserSilent,
    UserSpeech,
    WakeDetected,
)
from appliance.core.state import Context, Listening, Mode, Overlap, Reply, State, Talk, Yielding, disabled, greets
from appliance.core.steps import (
    Changes,
    Step,
    begin,
    begin_with_text,
    break_off,
    enter,
    give_up,
    interrupt,
    interrupt_locally,
    leave,
    listen,
    new_question,
    new_request,
    resting_state,
    say_goodbye,
    stay,
)

# Wake word and button


def wake(c: Context, event: WakeDetected) -> Step:
    """Begin a hands-free conversation."""
    return begin(c, event.speech_from, Mode.HANDS_FREE)


def wake_again(c: Context, event: WakeDetected) -> Step:
    """Listen again, with a new time limit for the conversation; from push-to-talk, switch to hands-free."""
    if c.mode is Mode.PUSH_TO_TALK:
        return begin(c, event.speech_from, Mode.HANDS_FREE)
    c, timer = new_request(c)
    if c.state is State.LISTENING and c.listening is Listening.SPEECH:
        return stay(c, timer)
    drop = (DiscardReply(),) if c.state is State.THINKING else ()
    first = (*drop, BeginSpeech(event.speech_from, c.mode), timer)
    return enter(c, State.LISTENING, first, listening=Listening.FIRST, tool_ran=bool(c.tools))


def wake_while_speaking(c: Context, event: WakeDetected) -> Step:
    """Interrupt the reply; from push-to-talk, switch to hands-free on a new link."""
    if c.mode is Mode.HANDS_FREE:
        return interrupt_locally(c, event.speech_from, Talk.NONE)
    return begin(c, event.speech_from, Mode.HANDS_FREE)


def press(c: Context, event: ButtonPressed) -> Step:
    """Begin a push-to-talk conversation; if only the light prevents it, announce that."""
    if disabled(c) == {Fault.LIGHT}:
        return stay(c, Announce(Fault.LIGHT))
    if disabled(c):
        return stay(c, Ignored("a conversation needs microphone and speaker"))
    return begin(c, event.speech_from, Mode.PUSH_TO_TALK)


def press_while_connecting(c: Context, event: ButtonPressed) -> Step:
    """Keep holding speech; in push-to-talk, a new turn begins."""
    if c.talk is Talk.HELD:
        return stay(c, Ignored("the button is down already"))
    c, timer = new_request(c)
    return stay(c, *_manual(c, event.speech_from), timer, talk=Talk.HELD, answer_pending=False)


def press_in_turn(c: Context, event: ButtonPressed) -> Step:
    """Listen for as long as the button is down."""
    if c.talk is Talk.HELD:
        return stay(c, Ignored("the button is down already"))
    c, timer = new_request(c)
    return enter(c, c.state, (*_manual(c, event.speech_from), timer), talk=Talk.HELD)


def press_while_thinking(c: Context, event: ButtonPressed) -> Step:
    """Listen again; drop the answer that is on its way."""
    c, timer = new_request(c)
    return enter(
        c,
        State.LISTENING,
        (DiscardReply(), *_manual(c, event.speech_from), timer),
        talk=Talk.HELD,
        listening=Listening.FIRST,
        tool_ran=bool(c.tools) or (c.tool_ran and c.mode is Mode.HANDS_FREE),
    )


def press_while_speaking(c: Context, event: ButtonPressed) -> Step:
    """Interrupt the reply."""
    return interrupt_locally(c, event.speech_from, Talk.HELD)


def release_while_connecting(c: Context, event: ButtonReleased) -> Step:
    """End the turn, which is held until the link opens; a tap ends the conversation."""
    if event.press is Press.TAP:
        return tap(c, event)
    return stay(c, *_manual_end(c, event.speech_to), talk=_released(c))


def release(c: Context, event: ButtonReleased) -> Step:
    """End the turn; a tap ends the conversation."""
    if event.press is Press.TAP:
        return tap(c, event)
    if c.mode is Mode.PUSH_TO_TALK:
        return enter(c, State.THINKING, (EndSpeech(event.speech_to),), talk=Talk.RELEASED)
    return enter(c, c.state, talk=Talk.NONE)


def tap(c: Context, _: ButtonReleased) -> Step:
    """End the conversation; nothing more is sent."""
    return break_off(c, resting_state(c), PlayEarcon(Earcon.END))


def _manual(c: Context, at: int) -> tuple[BeginSpeech, ...]:
    """In push-to-talk, a press opens a turn; in hands-free, the service detects speech."""
    return (BeginSpeech(at, c.mode),) if c.mode is Mode.PUSH_TO_TALK else ()


def _manual_end(c: Context, at: int) -> tuple[EndSpeech, ...]:
    return (EndSpeech(at),) if c.mode is Mode.PUSH_TO_TALK else ()


def _released(c: Context) -> Talk:
    return Talk.RELEASED if c.mode is Mode.PUSH_TO_TALK else Talk.NONE


# The person's turn


def user_speech(c: Context, _: UserSpeech) -> Step:
    """Give the person time to finish, unless the conversation has reached its time limit."""
    if c.state is State.THINKING and c.mode is Mode.PUSH_TO_TALK:
        return stay(c, Ignored("the button decides when the person speaks"))
    goodbye = c.overtime and c.talk is not Talk.HELD
    if goodbye:
        return say_goodbye(c)
    return enter(new_question(c), State.LISTENING, listening=Listening.SPEECH, tool_ran=bool(c.tools))


def nobody_speaks(c: Context, _: DeadlineReached) -> Step:
    """End the conversation; if a greeting is set and nothing was said yet, send it to the model first.

    While the service is still working on a request, wait for it.
    """
    if c.in_progress:
        return enter(c, State.THINKING)
    if not greets(c):
        return leave(c)
    return enter(c, State.THINKING, (SendText(c.policy.greeting),), greeted=True)


def user_speech_while_interrupted(c: Context, _: UserSpeech) -> Step:
    """Give the person time to finish, once the interruption has been shown."""
    return stay(new_question(c), listening=Listening.SPEECH, tool_ran=bool(c.tools))


def user_silent(c: Context, _: UserSilent) -> Step:
    """Wait for the answer; in hands-free also while the button is held, if the person has spoken since the press."""
    if c.mode is Mode.PUSH_TO_TALK or _has_yet_to_speak(c):
        return stay(c, Ignored("the button decides when the person speaks"))
    return enter(c, State.THINKING, talk=Talk.NONE)


def _has_yet_to_speak(c: Context) -> bool:
    return c.talk is Talk.HELD and c.listening is not Listening.SPEECH


# The model's turn


def reply_started(c: Context, event: ReplyStarted) -> Step:
    """Play it; while the button is held, drop it unless it answers speech since the press.

    After several answers without a wake word or press, check that a person asked: it may answer its own echo.
    """
    if c.talk is Talk.HELD and (c.mode is Mode.PUSH_TO_TALK or _has_yet_to_speak(c)):
        return stay(c, DiscardReply())
    if c.state is State.SPEAKING:
        return stay(c, reply=Reply.COMING, epoch=event.epoch, false_pauses=0)
    c = stay(c, overlap=Overlap.POSSIBLE)[0]
    check = (CheckWhoAsked(),) if c.asker_unverified and c.answers >= c.policy.trusted_answers else ()
    c = stay(c, greeted=True, unanswered=0, asker_unverified=False)[0]
    started: Changes = {"talk": Talk.NONE, "reply": Reply.COMING, "epoch": event.epoch, "false_pauses": 0}
    return enter(c, State.SPEAKING, then=check, **started)


def last_words(c: Context, event: ReplyStarted) -> Step:
    """Play it after the reply before."""
    return enter(c, State.FAREWELL, reply=Reply.COMING, epoch=event.epoch)


def reply_audible(c: Context, event: ReplyAudible) -> Step:
    """The microphone may hear the reply from now on: keep it open only for speech that began before."""
    if c.overlap is not Overlap.POSSIBLE:
        return stay(c, Ignored("a reply was heard before"))
    return stay(c, overlap=Overlap.SPEECH if event.over_speech else Overlap.NONE)


def overlap_ended(c: Context, _: OverlapEnded) -> Step:
    """Close the microphone until the reply has been played."""
    return stay(c, overlap=Overlap.NONE)


def reply_ended(c: Context, event: ReplyEnded) -> Step:
    """Play it to its last sample."""
    if event.epoch != c.epoch or c.reply is not Reply.COMING:
        return stay(c, Ignored("stale: that reply is over"))
    return stay(c, FinishReply(c.epoch), reply=Reply.COMPLETE, resumptions=0)


def reply_ended_in_farewell(c: Context, event: ReplyEnded) -> Step:
    """Play it to its last sample; end the conversation if the model says nothing."""
    if event.epoch or c.reply is not Reply.NONE:
        return reply_ended(c, event)
    return stay(c, Ignored("the turn goes on")) if c.tools else leave(c)


def turn_without_reply(c: Context, event: ReplyEnded) -> Step:
    """Listen again, as the model chose to say nothing; after several such turns, end the conversation."""
    if event.epoch or c.tools or c.in_progress or c.talk is Talk.HELD:
        return stay(c, Ignored("the turn goes on"))
    unanswered = c.unanswered + 1
    if unanswered >= c.policy.unanswered_turns and not c.cap:
        return leave(c)
    return listen(stay(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP, tool_ran=False, unanswered=unanswered)[0])


def server_interrupted(c: Context, _: ServerInterrupted) -> Step:
    """Silence the reply at once; whether the person really speaks is reported separately."""
    return interrupt(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP, interruptions=c.interruptions + 1)


def interruption_seen(c: Context, _: DeadlineReached) -> Step:
    """Listen; while tools run, wait for the answer; if a cap was reached, say so."""
    return enter(c, State.THINKING) if c.tools and c.talk is not Talk.HELD else listen(c)


def drained(c: Context, _: PlaybackDrained) -> Step:
    """Listen; if a tool runs or ran last, or the service is still working, wait for the answer."""
    if c.reply is Reply.COMING:
        return stay(c, Ignored("the reply goes on"))
    tool_ran = bool(c.tools) or c.reply is Reply.CONTINUED
    after = stay(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP, reply=Reply.NONE, epoch=0, tool_ran=tool_ran)[0]
    if tool_ran or c.in_progress:
        return enter(after, State.THINKING)
    unverified = c.yielding is not Yielding.PAUSED  # whoever speaks over its end may ask what is answered next
    return listen(stay(after, interruptions=0, answers=after.answers + 1, asker_unverified=unverified)[0])


def no_answer(c: Context, _: DeadlineReached) -> Step:
    """Announce that the service does not answer."""
    return give_up(c, Trouble.SILENT_SERVICE)


def cap_reached(c: Context, event: CapReached) -> Step:
    """Say so."""
    return give_up(c, event.trouble)


def cap_reached_in_a_turn(c: Context, event: CapReached) -> Step:
    """Note it; the answer is played first."""
    return stay(c, cap=event.trouble)


# Text


def text(c: Context, event: TextEntered) -> Step:
    """Begin a conversation that keeps the microphone closed until a press or the wake word."""
    if disabled(c):
        return stay(c, Ignored("a conversation needs microphone, speaker and, where required, the light"))
    return begin_with_text(c, event.text)


def text_while_connecting(c: Context, event: TextEntered) -> Step:
    """Send it once the link is open."""
    c, timer = new_request(c)
    return stay(c, SendText(event.text), timer)


def text_in_dialogue(c: Context, event: TextEntered) -> Step:
    """Send it and wait for the answer; interrupt a reply that is being played."""
    if c.talk is Talk.HELD:
        return stay(c, Ignored("the button is held"))
    silence = () if c.reply is Reply.NONE else (FlushPlayback(), DiscardReply())
    c, timer = new_request(c)
    return enter(
        c,
        State.THINKING,
        (*silence, SendText(event.text), timer),
        talk=_released(c),
        reply=Reply.NONE,
        epoch=0,
        tool_ran=bool(c.tools),
    )


# The end


def end_requested(c: Context, _: EndRequested) -> Step:
    """Let the model say goodbye, then end the conversation."""
    if c.talk is Talk.HELD:
        return stay(c, Ignored("the button is held"))
    return enter(c, State.FAREWELL)


def leave_now(c: Context, _: Event | EndRequested) -> Step:
    """End the conversation."""
    return leave(c)


def nobody_asked(c: Context, _: NobodyAsked) -> Step:
    """End the conversation before the answer is played; audio that was not sent stays on the device."""
    return break_off(c, resting_state(c), PlayEarcon(Earcon.END))


def lasted_long(c: Context, _: ConversationTimeOver) -> Step:
    """Have the model say goodbye; while the button is held, do so after the next answer."""
    return stay(c, overtime=True) if c.talk is Talk.HELD else say_goodbye(c)


def lasts_long(c: Context, _: ConversationTimeOver) -> Step:
    """Have the model say goodbye after the answer."""
    return stay(c, overtime=True)


def trouble_announced(c: Context, _: DeadlineReached) -> Step:
    """Return to rest."""
    return enter(c, resting_state(c), trouble=None)
