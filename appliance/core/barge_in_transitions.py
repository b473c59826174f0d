"""Transitions for a person who speaks over a reply; `core/machine.py` says for which state and event.

The microphone decides within a tenth of a second that a reply makes way, and the service whether it was interrupted.
The first line of each docstring is printed in ``docs/conversation.md``.
"""

from appliance.core.effects import DiscardReply, DuckPlayback, Ignored, PausePlayback, ResumePlayback, StartTimer
from appliance.core.events import EchoReported, UserSpeech, VoiceCeased, VoiceConfirmed, VoiceSuspected, YieldingOver
from appliance.core.state import Context, Listening, Reply, Talk, Yielding, voice_interrupts
from appliance.core.steps import Step, interrupt, new_question, stay, unyield


def echo_reported(c: Context, event: EchoReported) -> Step:
    """Note it; a reply that speech cannot interrupt any more does not yield either."""
    c = stay(c, echo_cancelled=event.cancelled)[0]
    return stay(c) if voice_interrupts(c) else stay(c, *unyield(c), yielding=Yielding.NONE, voice=False)


def voice_suspected(c: Context, _: VoiceSuspected) -> Step:
    """Duck the reply, for a limited time."""
    if not voice_interrupts(c):
        return stay(c, Ignored("speech does not interrupt this reply"))
    return _duck(stay(c, voice=True)[0])


def voice_confirmed(c: Context, _: VoiceConfirmed) -> Step:
    """Pause the reply, and give the service time to report an interruption; after too many false pauses, duck it."""
    if not voice_interrupts(c):
        return stay(c, Ignored("speech does not interrupt this reply"))
    c = stay(c, voice=True)[0]
    if c.false_pauses >= c.policy.false_pauses:
        return _duck(c)
    if c.yielding is Yielding.PAUSED:
        return stay(c, Ignored("the reply is paused already"))
    c, timer = _time_limit(c, c.policy.pause_s)
    return stay(c, PausePlayback(), timer, yielding=Yielding.PAUSED, prolonged=False)


def voice_ceased(c: Context, _: VoiceCeased) -> Step:
    """Play a ducked reply at its full volume again; a paused one waits for the service to the end of its time."""
    c = stay(c, voice=False)[0]
    if c.yielding is Yielding.DUCKED:
        return stay(c, ResumePlayback(), yielding=Yielding.NONE)
    if c.yielding is Yielding.PAUSED:
        return stay(c, Ignored("the service may still report an interruption"))
    return stay(c, Ignored("the reply does not yield"))


def yielding_over(c: Context, _: YieldingOver) -> Step:
    """Play the reply on, as nobody has interrupted it; prolong a pause once, if the person still speaks."""
    if c.yielding is Yielding.PAUSED and c.voice and not c.prolonged:
        c, timer = _time_limit(c, c.policy.pause_s)
        return stay(c, timer, prolonged=True)
    false_pauses = c.false_pauses + (c.yielding is Yielding.PAUSED)
    return stay(c, ResumePlayback(), yielding=Yielding.NONE, false_pauses=false_pauses)


def user_speech_over_reply(c: Context, _: UserSpeech) -> Step:
    """Interrupt a reply that is paused, or ducked and complete: after its turn the service reports no interruption."""
    is_due = c.yielding is Yielding.PAUSED or (c.yielding is Yielding.DUCKED and c.reply is Reply.COMPLETE)
    if not is_due:
        return stay(c, Ignored("the service reports whether that interrupts the reply"))
    c = stay(new_question(c), tool_ran=bool(c.tools), interruptions=c.interruptions + 1)[0]
    return interrupt(c, DiscardReply(), talk=Talk.NONE, listening=Listening.SPEECH)


def _duck(c: Context) -> Step:
    if c.yielding is not Yielding.NONE:
        return stay(c, Ignored("the reply yields already"))
    c, timer = _time_limit(c, c.policy.duck_s)
    return stay(c, DuckPlayback(), timer, yielding=Yielding.DUCKED)


def _time_limit(c: Context, after_s: float) -> tuple[Context, StartTimer]:
    c = stay(c, yieldings=c.yieldings + 1)[0]
    return c, StartTimer(YieldingOver(c.yieldings), after_s)
