"""Transitions of the session machine; `machine.TABLE` says for which phase and fact.

The first line of each docstring is printed in ``docs/live-session.md``.
"""

from dataclasses import replace
from typing import Final

from appliance.core import events as ev
from appliance.core.state import Mode
from appliance.live import messages
from appliance.live.connecting.rotation import Notice
from appliance.live.session import answers, facts
from appliance.live.session.answers import Step
from appliance.live.session.facts import Action, Output, Symptom
from appliance.live.session.state import Connection, Person, Phase, SessionState, on_connection, waiting
from appliance.units import Epoch, Seconds

CALLS_REMEMBERED: Final = 256
"""Tool calls of a connection whose ids are known; an older one that comes again is taken for a new call."""
STALE_S: Final = 0.5
"""Audio of a turn that the service has cut comes without a longer pause; no answer to an interruption comes sooner."""
OVERDUE_S: Final = 4.0
"""Grace period for the end of speech once the microphone is quiet, with a service that reports speech."""
LATE_S: Final = 2.0
"""Time after a turn of the model for the transcript of what it has answered."""


# The connection


def begin_conversation(s: SessionState, _fact: object, _now: Seconds) -> Step:
    """Forget the last conversation; replies are numbered on."""
    return SessionState(
        s.limits,
        voice=s.voice.reset(),
        epoch=s.epoch,
        audible_epoch=s.audible_epoch,
        answering=s.answering,
        dropped_bytes=s.dropped_bytes,
    ), ()


def open_connection(s: SessionState, fact: facts.ConnectionOpened, now: Seconds) -> Step:
    """Begin without a turn of the model; whoever waits for an answer waits anew."""
    connection = Connection(fact.link, fact.mode, fact.several_turns, opened_at=now)
    tools, awaited = (s.tools, s.awaited) if fact.continued else (frozenset[str](), frozenset[str]())
    return replace(
        s,
        connection=connection,
        tools=tools,
        awaited=awaited,
        progress_at=now,
        alive_at=now,
        more_turns=False,
        answering=s.answering and s.tool_ran,
    ), ()


def close_connection(s: SessionState, _fact: object, _now: Seconds) -> Step:
    """Note that what was said in writing was sent over another connection, if at all."""
    return replace(s, text_sent=False), ()


# The person's turn


def take_turn(s: SessionState, fact: facts.TurnTaken, now: Seconds) -> Step:
    """Give the person the turn: what was said before is not sent again."""
    s, outputs = answers.end_answer(s)
    s = replace(s, text=None)
    return (_person_begins(s, now) if fact.mode is Mode.PUSH_TO_TALK else _new_turn(s, now)), outputs


def end_turn(s: SessionState, _fact: object, now: Seconds) -> Step:
    """Wait for an answer from now on."""
    return _person_stops(s, now), ()


def send_text(s: SessionState, fact: facts.TextSent, now: Seconds) -> Step:
    """Wait for an answer to what was written."""
    s = _person_stops(_person_begins(s, now), now)
    return replace(s, text=fact.text, text_sent=True, answering=False), (facts.AnswerEnded(),)


def resend(s: SessionState, fact: facts.SpeechResent, _now: Seconds) -> Step:
    """Wait for an answer once all is sent; send again what was written, unless this connection has taken it."""
    if not (fact.finished or waiting(s)):
        return s, ()
    s = answers.answer_due(replace(s, resending=True, noticed=True), fact.sent_at)
    if s.text is None or s.text_sent or not fact.finished:
        return s, ()
    return replace(s, text_sent=True), (facts.ResendText(s.text),)


def measure_speech(s: SessionState, fact: facts.SpeechMeasured, _now: Seconds) -> Step:
    """Note what the microphone hears."""
    return replace(s, voice=s.voice.after(fact.probability, fact.duration)), ()


def _new_turn(s: SessionState, now: Seconds) -> SessionState:
    """Return the state with a new turn of the person, which a repetition is not."""
    if s.resending:
        return s
    s = on_connection(s, speech_at=now)
    return replace(answers.wait_over(s), tool_ran=False, retried=False, partly=False, awaited=frozenset())


def _person_begins(s: SessionState, now: Seconds) -> SessionState:
    return _new_turn(replace(s, speaks=True, noticed=True), now)


def _person_stops(s: SessionState, now: Seconds) -> SessionState:
    return answers.answer_due(replace(s, speaks=False, noticed=s.reports_speech, voice=s.voice.reset()), now)


# What the service hears


def speech_started(s: SessionState, _message: object, now: Seconds) -> Step:
    """Give the person the turn, unless what the service hears was sent again."""
    s = _service_hears(s, now)
    replay = s.resending and waiting(s) and not s.voice.begins
    return (s, ()) if replay or s.connection.person is Person.SPEAKING else _person_speaks(s, now)


def speech_ended(s: SessionState, _message: object, now: Seconds) -> Step:
    """Wait for an answer."""
    s = _later_turn(_service_hears(s, now))
    if s.connection.person is Person.DONE:
        return s, ()
    s = on_connection(s, person=Person.DONE)
    if s.connection.mode is Mode.PUSH_TO_TALK:
        return s, ()
    return _person_stops(s, now), (ev.UserSilent(s.connection.link),)


def words_heard(s: SessionState, _message: object, now: Seconds) -> Step:
    """Give the person the turn, unless the words belong to a turn that is over: transcripts come late."""
    s = _later_turn(answers.alive(replace(s, heard=True), now))
    late = waiting(s) or (s.answer_at is not None and now - s.answer_at < LATE_S)
    replay = late and not s.voice.begins
    return (s, ()) if replay or s.connection.person is not Person.QUIET else _person_speaks(s, now)


def _service_hears(s: SessionState, now: Seconds) -> SessionState:
    return on_connection(replace(s, noticed=True, reports_speech=True, heard=True), speech_at=now)


def _later_turn(s: SessionState) -> SessionState:
    """Return the state after a sign that the turn that was interrupted is over."""
    return on_connection(s, phase=Phase.FINISHED) if s.connection.phase is Phase.INTERRUPTED else s


def _person_speaks(s: SessionState, now: Seconds) -> Step:
    """Give the person the turn; in push-to-talk mode the button knows better."""
    s = on_connection(s, person=Person.SPEAKING)
    if s.connection.mode is Mode.PUSH_TO_TALK:
        return s, ()
    # What a tool has acted upon is over, and not to be asked again with what follows.
    s, outputs = answers.end_answer(s) if s.tool_ran else (s, ())
    return _person_begins(s, now), (*outputs, ev.UserSpeech(s.connection.link))


# The model's turn


def begin_reply(s: SessionState, message: messages.ReplyAudio, now: Seconds) -> Step:
    """Begin a reply, and hand on its audio once the conversation knows of it."""
    s, found = answers.hear_audio(s, message.pcm, now)
    s = replace(on_connection(s, phase=Phase.REPLYING, person=Person.DONE), epoch=Epoch(s.epoch + 1))
    return s, (ev.ReplyStarted(s.connection.link, s.epoch), facts.FirstAudio(message.pcm), *found)


def go_on(s: SessionState, message: messages.ReplyAudio, now: Seconds) -> Step:
    """Hand on audio."""
    s, found = answers.hear_audio(s, message.pcm, now)
    s, outputs = hand_on(s, message, now)
    return s, (*outputs, *found)


def hand_on(s: SessionState, fact: messages.ReplyAudio | facts.FirstAudio, _now: Seconds) -> Step:
    """Hand on audio."""
    chunk = facts.ReplyChunk(s.epoch, fact.pcm)
    if not s.connection.audible or s.epoch == s.audible_epoch:
        return s, (chunk,)
    s, outputs = answers.begin_answer(replace(s, audible_epoch=s.epoch))
    return s, (*outputs, chunk)


def drop(s: SessionState, fact: messages.ReplyAudio | facts.FirstAudio, now: Seconds) -> Step:
    """Drop audio."""
    s, found = answers.hear_audio(s, fact.pcm, now) if isinstance(fact, messages.ReplyAudio) else (s, ())
    return replace(on_connection(s, stale_at=now), dropped_bytes=s.dropped_bytes + len(fact.pcm)), found


def drop_or_begin(s: SessionState, message: messages.ReplyAudio, now: Seconds) -> Step:
    """Drop audio, unless it comes after a pause: then another reply begins."""
    stale = now - s.connection.stale_at < STALE_S
    return drop(s, message, now) if stale else begin_reply(s, message, now)


def discard(s: SessionState, _fact: object, _now: Seconds) -> Step:
    """Drop what still comes of the reply."""
    return on_connection(s, phase=Phase.DISCARDED), ()


def generation_ended(s: SessionState, message: messages.GenerationComplete, now: Seconds) -> Step:
    """End the reply: no more audio comes."""
    s, found = answers.end_audio(s, message, now)
    s, ended = _end_reply(s, Phase.NONE if s.connection.phase is Phase.NONE else Phase.FINISHED)
    return s, (*ended, *found)


def turn_ended(s: SessionState, message: messages.TurnComplete, now: Seconds) -> Step:
    """End the turn, and its reply if that has not ended."""
    s, found = answers.end_audio(s, message, now)
    before = s.connection
    s = on_connection(
        s, in_progress=before.in_progress and before.status_known, status_known=False, person=Person.QUIET
    )
    s, ended = _end_reply(s, Phase.NONE)
    s, answered = answers.request_over(s) if before.several_turns else (s, ())
    refused = (ev.TurnRefused(before.link),) if message.reason is messages.TurnReason.REFUSED else ()
    return s, (*ended, *answered, *_progress_news(before, s.connection), *refused, *found)


def turn_without_reply_ended(s: SessionState, message: messages.TurnComplete, now: Seconds) -> Step:
    """End a turn without audio, as reply 0."""
    s, outputs = turn_ended(s, message, now)
    return s, (ev.ReplyEnded(s.connection.link, 0), *outputs)


def interrupt(s: SessionState, _message: object, now: Seconds) -> Step:
    """Silence the reply, unless it was discarded; audio that is under way is dropped."""
    before = s.connection
    by_nobody = before.speech_at is None or now - before.speech_at > s.limits.interruption_s
    connection = replace(
        before,
        phase=Phase.FINISHED if before.phase in {Phase.NONE, Phase.FINISHED} else Phase.INTERRUPTED,
        stale_at=now,
        generating=False,
        silent_turns=0 if by_nobody else None,
        person=Person.QUIET,
    )
    s = replace(s, connection=connection, heard=s.heard and not before.generating, answer_at=now)
    outputs: tuple[Output, ...] = ()
    if before.phase is not Phase.DISCARDED:
        s, ended = answers.end_answer(s)
        outputs = (ev.ServerInterrupted(before.link), *ended)
    if before.person is Person.SPEAKING:  # reported while the model spoke, when it meant nothing yet
        s, speech = _person_speaks(s, now)
        outputs += speech
    return s, outputs


def _end_reply(s: SessionState, phase: Phase) -> Step:
    before = s.connection
    s = on_connection(s, phase=phase)
    if before.phase is not Phase.REPLYING:
        return s, ()
    s, answered = answers.request_over(s) if s.epoch == s.audible_epoch and not before.several_turns else (s, ())
    return s, (*answered, ev.ReplyEnded(before.link, s.epoch))


def _progress_news(before: Connection, after: Connection) -> tuple[ev.InteractionReported, ...]:
    changed = before.in_progress is not after.in_progress
    return (ev.InteractionReported(after.link, after.in_progress),) if changed else ()


# Other messages


def status_reported(s: SessionState, message: messages.StatusReported, now: Seconds) -> Step:
    """Note whether the service works on at a request; once it does not, the answer has ended."""
    before, working = s.connection, message.status is messages.Interaction.IN_PROGRESS
    s = on_connection(s, working_since=now if working else None, in_progress=working, status_known=True)
    if working:
        s = replace(s, alive_at=now)
    elif s.more_turns:
        s = answers.wait_over(s)
    news = _progress_news(before, s.connection)
    s, answered = answers.request_over(s) if before.several_turns else (s, ())
    return s, (*news, *answered)


def input_awaited(s: SessionState, _message: object, now: Seconds) -> Step:
    """Wait no more: the model expects the person to go on."""
    return answers.wait_over(answers.answered_so_far(s, now)), (ev.InputAwaited(s.connection.link),)


def tool_called(s: SessionState, call: messages.ToolCall, _now: Seconds) -> Step:
    """Run a tool, unless the call has come before; while it runs, no answer is late."""
    connection = s.connection
    if call.id in connection.calls:
        return s, ()
    s = on_connection(_later_turn(s), calls=(*connection.calls, call.id)[-CALLS_REMEMBERED:])
    s = replace(s, tools=s.tools | {call.id}, awaited=s.awaited | {call.id}, noticed=True, tool_ran=True, heard=True)
    s, outputs = answers.begin_answer(s)
    return s, (*outputs, call, ev.ToolsCalled(connection.link, (call.id,)))


def tools_cancelled(s: SessionState, message: messages.ToolCallsCancelled, now: Seconds) -> Step:
    """Stop tools."""
    return answers.tools_done(s, message.ids, now), (ev.ToolsCancelled(s.connection.link, message.ids),)


def tool_answered(s: SessionState, fact: facts.ToolAnswered, now: Seconds) -> Step:
    """Expect an answer that uses the result."""
    return answers.tools_done(s, (fact.call,), now), ()


def thinks(s: SessionState, _message: object, now: Seconds) -> Step:
    """Wait longer: the model is at work."""
    return answers.alive(on_connection(s, generating=True), now), ()


def lives(s: SessionState, _message: object, now: Seconds) -> Step:
    """Wait longer: that is a sign of life."""
    return answers.alive(s, now), ()


# Rotation


def handle_updated(s: SessionState, message: messages.HandleUpdated, _now: Seconds) -> Step:
    """Note whether the session can be resumed."""
    return on_connection(s, resumable=message.handle is not None), ()


def going_away(s: SessionState, message: messages.GoAway, now: Seconds) -> Step:
    """Note when the service ends the connection."""
    return on_connection(s, notice=Notice(now, message.time_left)), ()


def want_rotation(s: SessionState, _fact: object, now: Seconds) -> Step:
    """Swap the connection when that disturbs nobody."""
    return answers.rotate(s, now), ()


# Time


def tick(s: SessionState, fact: facts.Ticked, now: Seconds) -> Step:
    """Notice speech that the service does not report, answers that do not come, and sending that stalls."""
    s, heard = _hear_microphone(s, now)
    if fact.stalled:
        s = replace(s, stalls=s.stalls + 1)
        return s, (*heard, facts.Diagnosis(Symptom.STALLED_UPLINK, Action.ROTATE))
    s, found = answers.overdue(s, now)
    return s, (*heard, *found)


def _hear_microphone(s: SessionState, now: Seconds) -> Step:
    """Take what the microphone alone has heard; in push-to-talk mode the button decides."""
    if s.connection.mode is Mode.PUSH_TO_TALK:
        return s, ()
    # Once a service has been found to report speech, only the first words count: later ones that it does not hear need
    # not be meant for it.
    if not (s.noticed or s.speaks) and s.voice.speaks:
        s, outputs = answers.end_answer(s) if s.tool_ran else (s, ())
        return _new_turn(replace(s, speaks=True), now), (*outputs, ev.UserSpeech(s.connection.link))
    stopped_s = _unreported_s(s)
    if stopped_s is not None:
        s = on_connection(_person_stops(s, Seconds(now - stopped_s)), person=Person.QUIET)
        return s, (ev.UserSilent(s.connection.link),)
    return _missed_words(s)


def _unreported_s(s: SessionState) -> float | None:
    """Return how long ago the person stopped speaking where the service should have reported that and has not.

    Not every model reports the end, and one that falls silent does not either.
    """
    stopped_s = s.voice.stopped_s
    if not s.noticed:
        return 0.0 if stopped_s is not None and s.first else stopped_s  # first words may be sent only now
    if not s.speaks:
        return None
    if stopped_s is None and not s.reports_speech:
        stopped_s = s.voice.pause_s  # a short word, or a soft voice: the service alone has heard it
    elif not s.reports_speech:
        return stopped_s
    return None if stopped_s is None or stopped_s < OVERDUE_S else stopped_s


def _missed_words(s: SessionState) -> Step:
    """Have words sent again that a service has missed after an answer, as it sometimes does; once after each answer.

    That is known only of a service that reports speech. It may do so on purpose: no apology follows.
    """
    occupied = s.first or s.speaks or waiting(s) or s.connection.generating
    if not s.reports_speech or occupied or s.asked_again or s.voice.stopped_s is None:
        return s, ()
    return replace(s, asked_again=True, voice=s.voice.reset()), (facts.WordsMissed(),)
