"""The wait for an answer: when one is due, what counts as one, and when its absence is a fault. Pure."""

from dataclasses import replace

import numpy as np

from appliance.audio.level import rms_dbfs
from appliance.core import events as ev
from appliance.live import messages
from appliance.live.session import facts
from appliance.live.session.facts import Action, Output, Symptom
from appliance.live.session.state import SessionState, on_connection, reply_due, stuck_due, waiting
from appliance.units import REPLY, Seconds

Step = tuple[SessionState, tuple[Output, ...]]


def answer_due(s: SessionState, since: Seconds) -> SessionState:
    """Return the state in which an answer is due, to speech that ended then."""
    s = on_connection(s, speech_at=since, audible=False, mute_s=0.0)
    return replace(s, waiting_since=since, progress_at=since, alive_at=since)


def wait_over(s: SessionState) -> SessionState:
    """Return the state in which no answer is due."""
    return replace(s, waiting_since=None, more_turns=False)


def answered_so_far(s: SessionState, now: Seconds, *, audibly: bool = False) -> SessionState:
    """Return the state once the speech so far has its answer; speech from now on is new."""
    return replace(
        s,
        noticed=s.reports_speech,
        speaks=False,
        asked_again=False,
        answer_at=now,
        voice=s.voice.reset(),
        resending=s.resending and not audibly,
        first=s.first and not audibly,
        heard=s.heard or audibly,
    )


def answered_before_a_pause(s: SessionState, now: Seconds) -> SessionState:
    """Return the state where an answer comes before the end of the words was noticed: at the last sound."""
    since_s = s.voice.since_s
    if since_s is not None:
        return answer_due(s, Seconds(now - since_s))
    return answer_due(s, now) if s.speaks else s


def begin_answer(s: SessionState) -> Step:
    """Note that an answer has begun."""
    return replace(s, answering=True), (facts.AnswerStarted(),)


def end_answer(s: SessionState) -> Step:
    """Note that the answer, if one has begun, has ended: nothing before it is sent again."""
    if not s.answering:
        return s, ()
    return replace(s, answering=False, stalls=0, text=None), (facts.AnswerEnded(),)


def request_over(s: SessionState) -> Step:
    """End the answer, unless the service works on at the request."""
    return (s, ()) if s.connection.in_progress else end_answer(s)


def alive(s: SessionState, now: Seconds) -> SessionState:
    """Return the state after a sign of life of the service."""
    s = replace(s, alive_at=now)
    return s if s.connection.working_since is None else on_connection(s, working_since=now)


def tools_done(s: SessionState, calls: tuple[str, ...], now: Seconds) -> SessionState:
    """Return the state once these calls have a result, or need none."""
    tools, awaited = s.tools.difference(calls), s.awaited.difference(calls)
    return replace(s, tools=tools, awaited=awaited, progress_at=now, alive_at=now)


def hear_audio(s: SessionState, pcm: bytes, now: Seconds) -> Step:
    """Take audio as an answer, as far as there is something to hear."""
    if not (s.reports_speech or waiting(s)):
        s = answered_before_a_pause(s, now)
    before = s.connection
    if before.audible:
        s = s if before.generating else on_connection(s, generating=True)
        return answered_so_far(s, now, audibly=True), ()
    if rms_dbfs(np.frombuffer(pcm, "<i2")) < s.limits.mute_dbfs:
        s = on_connection(s, generating=True, mute_s=before.mute_s + REPLY.duration(len(pcm) // 2))
        s = answered_so_far(s, now)
        return _mute(s) if s.connection.mute_s >= s.limits.mute_s else (s, ())
    s = alive(on_connection(s, generating=True, audible=True, silent_turns=None), now)
    since = None if s.tool_ran or s.more_turns else s.waiting_since
    delay = () if since is None else (facts.AnswerDelay(now - since),)
    return answered_so_far(wait_over(s), now, audibly=True), delay


def end_audio(s: SessionState, message: messages.GenerationComplete | messages.TurnComplete, now: Seconds) -> Step:
    """Take the end of the model's turn, or of its audio, as an answer, or as a fault where an answer is due."""
    before = s.connection
    s = on_connection(replace(s, heard=s.heard and not before.generating, answer_at=now), generating=False)
    if isinstance(message, messages.TurnComplete) and not before.audible:
        s = _answered_with_silence(s, message.reason, now)
    if s.connection.mute_s and not s.connection.audible:
        s, found = _mute(s)
        if found:
            return s, found
    if isinstance(message, messages.GenerationComplete):
        return s, ()
    audible, s = s.connection.audible, on_connection(s, audible=False, mute_s=0.0)
    if s.connection.working_since is not None:
        s = replace(alive(s, now), more_turns=True, partly=s.partly or audible)
        return replace(s, waiting_since=now, progress_at=now), ()
    if message.reason is messages.TurnReason.FAILED and not audible and waiting(s):
        return fail(s, Symptom.FAILED_TURN)
    s = wait_over(s)
    return (s if audible else _turn_without_audio(s, now)), ()


def _answered_with_silence(s: SessionState, reason: messages.TurnReason | None, now: Seconds) -> SessionState:
    if reason is messages.TurnReason.FAILED and not (s.reports_speech or waiting(s)):
        s = answered_before_a_pause(s, now)
    if reason is messages.TurnReason.FAILED or s.connection.working_since is not None:
        return s
    s = replace(s, first=False, heard=False)
    return s if s.reports_speech else answered_so_far(s, now)


def _turn_without_audio(s: SessionState, now: Seconds) -> SessionState:
    """Return the state after one more silent turn; too many after a false interruption want another connection."""
    if s.connection.silent_turns is None:
        return s
    silent_turns = s.connection.silent_turns + 1
    if silent_turns < s.limits.interruption_turns:
        return on_connection(s, silent_turns=silent_turns)
    return rotate(on_connection(s, silent_turns=None), now)


def rotate(s: SessionState, now: Seconds) -> SessionState:
    """Return the state in which another connection is wanted."""
    return on_connection(s, rotate_since=s.connection.rotate_since or now)


def overdue(s: SessionState, now: Seconds) -> Step:
    """Find an answer that should have come by now, or a service that works on for too long."""
    due = reply_due(s)
    if due is not None and now >= due:
        stuck = due >= s.progress_at + s.limits.stuck_s
        return fail(on_connection(s, working_since=None), Symptom.STUCK if stuck else Symptom.NO_REPLY)
    due = stuck_due(s)
    return (rotate(on_connection(s, working_since=None), now) if due is not None and now >= due else s), ()


def _mute(s: SessionState) -> Step:
    s = on_connection(s, mute_s=0.0)
    return fail(s, Symptom.MUTE_REPLY) if waiting(s) else (s, ())


def fail(s: SessionState, symptom: Symptom) -> Step:
    """Have the turn asked again, once. What a tool has done is not done twice, nor what was said heard twice."""
    again = not (s.retried or s.tool_ran or s.partly)
    link = s.connection.link
    # Of words that nobody but the microphone has heard it is doubtful whether they were speech.
    heard = s.first or s.heard or symptom is not Symptom.NO_REPLY
    silent = (ev.UserSilent(link),) if symptom is Symptom.FAILED_TURN else ()  # which it need not have reported
    diagnosis = facts.Diagnosis(symptom, Action.RETRY_UTTERANCE if again else Action.APOLOGISE)
    return wait_over(replace(s, retried=True)), (diagnosis, *silent, ev.Unanswered(link, again, heard))
