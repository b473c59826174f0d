"""What the rows of the transition table do; `core/machine.py` says for which state and event.

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
    PlaybackDrained,
    Press,
    ReplyEnded,
    ReplyStarted,
    ServerInterrupted,
    TextEntered,
    Trouble,
    UserSilent,
    UserSpeech,
    WakeDetected,
)
from appliance.core.state import Context, Listening, Mode, Overlap, Reply, State, Talk, disabled, greets
from appliance.core.steps import (
    Step,
    asks,
    begin,
    begin_in_writing,
    break_off,
    enter,
    give_up,
    interrupt,
    interrupt_here,
    leave,
    listen,
    rest,
    say_goodbye,
    stay,
    takes_the_word,
)

# Wake word and button


def wake(c: Context, event: WakeDetected) -> Step:
    """Begin."""
    return begin(c, event.speech_from, Mode.HANDS_FREE)


def wake_again(c: Context, event: WakeDetected) -> Step:
    """Give the person the word, and the conversation its time, anew; out of push-to-talk, begin hands-free."""
    if c.mode is Mode.PUSH_TO_TALK:
        return begin(c, event.speech_from, Mode.HANDS_FREE)
    c, timer = takes_the_word(c)
    if c.state is State.LISTENING and c.listening is Listening.SPEECH:
        return stay(c, timer)
    drop = (DiscardReply(),) if c.state is State.THINKING else ()
    first = (*drop, BeginSpeech(event.speech_from, c.mode), timer)
    return enter(c, State.LISTENING, first, listening=Listening.FIRST, tool_ran=bool(c.tools))


def wake_while_speaking(c: Context, event: WakeDetected) -> Step:
    """Interrupt the reply; out of a push-to-talk conversation, go on hands-free on a link of its own."""
    if c.mode is Mode.HANDS_FREE:
        return interrupt_here(c, event.speech_from, Talk.NONE)
    return begin(c, event.speech_from, Mode.HANDS_FREE)


def press(c: Context, event: ButtonPressed) -> Step:
    """Begin a push-to-talk conversation; where it is the light that stands in the way, say so."""
    if disabled(c) == {Fault.LIGHT}:
        return stay(c, Announce(Fault.LIGHT))
    if disabled(c):
        return stay(c, Ignored("without microphone and speaker there is no conversation"))
    return begin(c, event.speech_from, Mode.PUSH_TO_TALK)


def press_while_connecting(c: Context, event: ButtonPressed) -> Step:
    """Keep the word; in push-to-talk, a new turn begins."""
    if c.talk is Talk.HELD:
        return stay(c, Ignored("the button is down already"))
    c, timer = takes_the_word(c)
    return stay(c, *_manual(c, event.speech_from), timer, talk=Talk.HELD, answer_pending=False)


def press_in_turn(c: Context, event: ButtonPressed) -> Step:
    """Keep the word for as long as the button is down."""
    if c.talk is Talk.HELD:
        return stay(c, Ignored("the button is down already"))
    c, timer = takes_the_word(c)
    return enter(c, c.state, (*_manual(c, event.speech_from), timer), talk=Talk.HELD)


def press_while_thinking(c: Context, event: ButtonPressed) -> Step:
    """Take the word back; an answer that is on its way is dropped."""
    c, timer = takes_the_word(c)
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
    return interrupt_here(c, event.speech_from, Talk.HELD)


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
    """End the conversation; nothing more of it leaves the device."""
    return break_off(c, rest(c), PlayEarcon(Earcon.END))


def _manual(c: Context, at: int) -> tuple[BeginSpeech, ...]:
    """In push-to-talk, a press opens a turn; hands-free, the service hears for itself."""
    return (BeginSpeech(at, c.mode),) if c.mode is Mode.PUSH_TO_TALK else ()


def _manual_end(c: Context, at: int) -> tuple[EndSpeech, ...]:
    return (EndSpeech(at),) if c.mode is Mode.PUSH_TO_TALK else ()


def _released(c: Context) -> Talk:
    return Talk.RELEASED if c.mode is Mode.PUSH_TO_TALK else Talk.NONE


# The person's turn


def user_speech(c: Context, _: UserSpeech) -> Step:
    """Give the person time to finish, unless the conversation has lasted long enough."""
    if c.state is State.THINKING and c.mode is Mode.PUSH_TO_TALK:
        return stay(c, Ignored("the button says when the person speaks"))
    goodbye = c.overtime and c.talk is not Talk.HELD
    if goodbye:
        return say_goodbye(c)
    return enter(asks(c), State.LISTENING, listening=Listening.SPEECH, tool_ran=bool(c.tools))


def nobody_speaks(c: Context, _: DeadlineReached) -> Step:
    """End the conversation; where a greeting is set and nothing was said yet, have the model say it first.

    A service that works on is waited for.
    """
    if c.in_progress:
        return enter(c, State.THINKING)
    if not greets(c):
        return leave(c)
    return enter(c, State.THINKING, (SendText(c.policy.greeting),), greeted=True)


def user_speech_while_interrupted(c: Context, _: UserSpeech) -> Step:
    """Give the person time to finish, once this moment is over."""
    return stay(asks(c), listening=Listening.SPEECH, tool_ran=bool(c.tools))


def user_silent(c: Context, _: UserSilent) -> Step:
    """Wait for the answer; hands-free also while the button is held, if the person has spoken since."""
    if c.mode is Mode.PUSH_TO_TALK or _has_yet_to_speak(c):
        return stay(c, Ignored("the button says when the person speaks"))
    return enter(c, State.THINKING, talk=Talk.NONE)


def _has_yet_to_speak(c: Context) -> bool:
    return c.talk is Talk.HELD and c.listening is not Listening.SPEECH


# The model's turn


def reply_started(c: Context, event: ReplyStarted) -> Step:
    """Play it; while the button is held, only what answers words that were said meanwhile, else it is dropped.

    After some answers without wake word or press, a person has to have asked for it: it may be the echo of the last.
    """
    if c.talk is Talk.HELD and (c.mode is Mode.PUSH_TO_TALK or _has_yet_to_speak(c)):
        return stay(c, DiscardReply())
    if c.state is State.SPEAKING:
        return stay(c, reply=Reply.COMING, epoch=event.epoch)
    c = stay(c, overlap=Overlap.POSSIBLE)[0]
    check = (CheckWhoAsked(),) if c.unproved and c.answers >= c.policy.trusted_answers else ()
    c = stay(c, greeted=True, unanswered=0, unproved=False)[0]
    return enter(c, State.SPEAKING, then=check, talk=Talk.NONE, reply=Reply.COMING, epoch=event.epoch)


def last_words(c: Context, event: ReplyStarted) -> Step:
    """Play it after the one before."""
    return enter(c, State.FAREWELL, reply=Reply.COMING, epoch=event.epoch)


def reply_ended(c: Context, event: ReplyEnded) -> Step:
    """Play it to its last sample."""
    if event.epoch != c.epoch or c.reply is not Reply.COMING:
        return stay(c, Ignored("late: that reply is over"))
    return stay(c, FinishReply(c.epoch), reply=Reply.COMPLETE, resumptions=0)


def reply_ended_in_farewell(c: Context, event: ReplyEnded) -> Step:
    """Play it to its last sample; a model that says nothing ends the conversation."""
    if event.epoch or c.reply is not Reply.NONE:
        return reply_ended(c, event)
    return stay(c, Ignored("the turn goes on")) if c.tools else leave(c)


def turn_without_reply(c: Context, event: ReplyEnded) -> Step:
    """Listen again: the model chose silence; when it has chosen it time after time, end the conversation."""
    if event.epoch or c.tools or c.in_progress or c.talk is Talk.HELD:
        return stay(c, Ignored("the turn goes on"))
    unanswered = c.unanswered + 1
    if unanswered >= c.policy.unanswered_turns and not c.cap:
        return leave(c)
    return listen(stay(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP, tool_ran=False, unanswered=unanswered)[0])


def server_interrupted(c: Context, _: ServerInterrupted) -> Step:
    """Be silent at once; whether the person really speaks is told besides."""
    c = stay(c, interruptions=c.interruptions + 1)[0]
    return interrupt(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP)


def interruption_seen(c: Context, _: DeadlineReached) -> Step:
    """Listen; while tools run, wait for the answer; where a cap was reached, say so."""
    return enter(c, State.THINKING) if c.tools and c.talk is not Talk.HELD else listen(c)


def drained(c: Context, _: PlaybackDrained) -> Step:
    """Listen for more; where a tool runs or was done last, or the service works on, wait for the answer."""
    if c.reply is Reply.COMING:
        return stay(c, Ignored("the reply goes on"))
    tool_ran = bool(c.tools) or c.reply is Reply.CONTINUED
    after = stay(c, talk=Talk.NONE, listening=Listening.FOLLOW_UP, reply=Reply.NONE, epoch=0, tool_ran=tool_ran)[0]
    if tool_ran or c.in_progress:
        return enter(after, State.THINKING)
    return listen(stay(after, interruptions=0, answers=after.answers + 1, unproved=True)[0])


def no_answer(c: Context, _: DeadlineReached) -> Step:
    """Tell that the service does not answer."""
    return give_up(c, Trouble.SILENT_SERVICE)


def cap_reached(c: Context, event: CapReached) -> Step:
    """Say so."""
    return give_up(c, event.trouble)


def cap_reached_in_a_turn(c: Context, event: CapReached) -> Step:
    """Let the answer be heard first."""
    return stay(c, cap=event.trouble)


# In writing


def text(c: Context, event: TextEntered) -> Step:
    """Begin a conversation that keeps the microphone closed until a press or the wake word."""
    if disabled(c):
        return stay(c, Ignored("without microphone, speaker and a light that is required there is no conversation"))
    return begin_in_writing(c, event.text)


def text_while_connecting(c: Context, event: TextEntered) -> Step:
    """Send it once the link is open."""
    c, timer = takes_the_word(c)
    return stay(c, SendText(event.text), timer)


def text_in_dialogue(c: Context, event: TextEntered) -> Step:
    """Send it and wait for the answer; a reply that is being spoken is cut off."""
    if c.talk is Talk.HELD:
        return stay(c, Ignored("the person has the word"))
    silence = () if c.reply is Reply.NONE else (FlushPlayback(), DiscardReply())
    c, timer = takes_the_word(c)
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
    """Let the model say goodbye, then rest."""
    if c.talk is Talk.HELD:
        return stay(c, Ignored("the person has the word"))
    return enter(c, State.FAREWELL)


def leave_now(c: Context, _: Event | EndRequested) -> Step:
    """End the conversation."""
    return leave(c)


def nobody_asked(c: Context, _: NobodyAsked) -> Step:
    """End the conversation before the answer is heard; what is unsent stays here."""
    return break_off(c, rest(c), PlayEarcon(Earcon.END))


def lasted_long(c: Context, _: ConversationTimeOver) -> Step:
    """Have the model say goodbye; while the button is held, once the answer was heard."""
    return stay(c, overtime=True) if c.talk is Talk.HELD else say_goodbye(c)


def lasts_long(c: Context, _: ConversationTimeOver) -> Step:
    """Have the model say goodbye once the answer was heard."""
    return stay(c, overtime=True)


def trouble_told(c: Context, _: DeadlineReached) -> Step:
    """Rest."""
    return enter(c, rest(c), trouble=None)
