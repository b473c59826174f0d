"""From google-genai's words into ours: server messages into link messages, failures into `LinkError`. Pure.

Every foreign exception that a Live connection can raise is listed in `FOREIGN` and explained by `classify`.
"""

import errno
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from google.genai import errors, types
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from appliance.errors import LinkCause, LinkError
from appliance.live.failures import ConnectionFailure, FailureKind, Phase, judge, shown
from appliance.live.messages import (
    GenerationComplete,
    GoAway,
    Grounding,
    HandleUpdated,
    HeardText,
    Interaction,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    SpokenText,
    StatusReported,
    Thinking,
    TokenCount,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    TurnReason,
    UsageReported,
    WaitingForInput,
)
from appliance.units import REPLY, Seconds

__all__ = ["FOREIGN", "Phase", "classify", "translate"]

# Messages

MOST_CALLS: Final = 32
"""The most tool calls in one message; more are refused with the whole message."""


LONGEST_TEXT: Final = 4000
"""Characters of a transcript in one message that are read: minutes of speech. The rest is left out."""


def _ignore(_: str) -> None:
    pass


def translate(message: types.LiveServerMessage, on_malformed: Callable[[str], None] = _ignore) -> Iterator[LinkMessage]:
    """Yield what one server message says, in the order in which it has to be acted upon.

    A server message may hold any combination of fields. An interruption comes first and takes the audio beside it
    along; audio and transcripts come before the end of the turn that they belong to. A part that cannot be used is left
    out, and ``on_malformed`` is called with what is wrong with it.

    Raises:
        LinkError: There are more than `MOST_CALLS` tool calls (PROTOCOL).
    """
    content = message.server_content or types.LiveServerContent()
    if content.interrupted:
        yield Interrupted()
    yield from _tools(message, on_malformed)
    if _is_at_work(content):
        yield Thinking()
    yield from _looked_up(content)
    if not content.interrupted:
        yield from _audio(content, on_malformed)
    yield from _transcripts(content, on_malformed)
    if content.generation_complete:
        yield GenerationComplete()
    yield from _status(content)
    yield from _turn_end(content)
    yield from _session(message)
    yield from _voice_activity(message)


def _tools(message: types.LiveServerMessage, on_malformed: Callable[[str], None]) -> Iterator[LinkMessage]:
    cancelled = message.tool_call_cancellation
    if cancelled and cancelled.ids:
        yield ToolCallsCancelled(tuple(cancelled.ids))
    calls = (message.tool_call and message.tool_call.function_calls) or ()
    if len(calls) > MOST_CALLS:
        raise LinkError(f"the Live service sent {len(calls)} tool calls in one message", LinkCause.PROTOCOL)
    for call in calls:
        if not call.id or not call.name:
            on_malformed("a tool call without an id or a name")
        else:
            yield ToolCall(call.id, call.name, call.args or {})


def _is_at_work(content: types.LiveServerContent) -> bool:
    """Return whether there is something that is not to be heard."""
    parts = (content.model_turn and content.model_turn.parts) or ()
    return any(part.thought or part.executable_code or part.code_execution_result for part in parts)


def _looked_up(content: types.LiveServerContent) -> Iterator[Grounding]:
    found = content.grounding_metadata
    if found or content.url_context_metadata:
        webs = [chunk.web for chunk in (found and found.grounding_chunks) or ()]
        yield Grounding(tuple(web.uri for web in webs if web and web.uri))


def _audio(content: types.LiveServerContent, on_malformed: Callable[[str], None]) -> Iterator[ReplyAudio]:
    for part in (content.model_turn and content.model_turn.parts) or ():
        blob = part.inline_data
        if part.thought or not blob or not blob.data:
            continue
        kind, *parameters = (piece.strip() for piece in (blob.mime_type or "").lower().split(";"))
        if not kind.startswith("audio/"):
            continue
        rates = [parameter for parameter in parameters if parameter.startswith("rate=")]
        if kind != "audio/pcm" or rates not in ([], [f"rate={REPLY.rate_hz}"]):
            on_malformed(f"audio that is not 16-bit PCM at {REPLY.rate_hz} Hz")
        elif len(blob.data) % 2:
            on_malformed("half an audio sample")  # on which side is unknown: played, it may be loud noise
        else:
            yield ReplyAudio(blob.data)


def _transcripts(
    content: types.LiveServerContent, on_malformed: Callable[[str], None]
) -> Iterator[HeardText | SpokenText]:
    for kind, found in ((HeardText, content.input_transcription), (SpokenText, content.output_transcription)):
        text = found.text if found else None
        if not text:
            continue
        if len(text) > LONGEST_TEXT:
            on_malformed(f"a transcript of more than {LONGEST_TEXT} characters")
        yield kind(text[:LONGEST_TEXT])


def _status(content: types.LiveServerContent) -> Iterator[LinkMessage]:
    match content.interaction_status:
        case types.InteractionStatus.IN_PROGRESS | types.InteractionStatus.REQUIRES_ACTION:
            yield StatusReported(Interaction.IN_PROGRESS)
        case types.InteractionStatus.IDLE:
            yield StatusReported(Interaction.IDLE)


_REASONS: Final[Mapping[types.TurnCompleteReason, TurnReason | None]] = {
    types.TurnCompleteReason.TURN_COMPLETE_REASON_UNSPECIFIED: None,
    types.TurnCompleteReason.NEED_MORE_INPUT: TurnReason.MORE_INPUT,
    types.TurnCompleteReason.MALFORMED_FUNCTION_CALL: TurnReason.FAILED,
    types.TurnCompleteReason.RESPONSE_REJECTED: TurnReason.FAILED,
    types.TurnCompleteReason.MAX_REGENERATION_REACHED: TurnReason.FAILED,
}
"""All others, and those to come, are about what was asked or made."""


def _turn_end(content: types.LiveServerContent) -> Iterator[LinkMessage]:
    told = content.turn_complete_reason or types.TurnCompleteReason.TURN_COMPLETE_REASON_UNSPECIFIED
    reason = _REASONS.get(told, TurnReason.REFUSED)
    if content.waiting_for_input or (content.turn_complete and reason is TurnReason.MORE_INPUT):
        yield WaitingForInput()
    if content.turn_complete:
        yield TurnComplete(reason)


def _session(message: types.LiveServerMessage) -> Iterator[LinkMessage]:
    if message.usage_metadata:
        yield from _usage(message.usage_metadata)
    if update := message.session_resumption_update:
        yield HandleUpdated((update.new_handle or None) if update.resumable else None, _consumed(update))
    if message.go_away:
        yield GoAway(_duration(message.go_away.time_left or ""))


def _consumed(update: types.LiveServerSessionResumptionUpdate) -> int | None:
    """Return how many messages a handle covers. The index of the last one is taken to count the set-up as the first."""
    index = update.last_consumed_client_message_index
    return None if index is None else max(0, index)


def _usage(usage: types.UsageMetadata) -> Iterator[UsageReported]:
    """Results of the service's own tools count as part of the prompt: they are billed as such."""
    looked_up = _tokens(usage.tool_use_prompt_token_count, usage.tool_use_prompt_tokens_details)
    report = UsageReported(
        usage.total_token_count or 0,
        prompt=_tokens(usage.prompt_token_count, usage.prompt_tokens_details) + looked_up,
        response=_tokens(usage.response_token_count, usage.response_tokens_details),
        thoughts=usage.thoughts_token_count or 0,
    )
    if report != UsageReported(0):
        yield report


def _tokens(count: int | None, details: list[types.ModalityTokenCount] | None) -> TokenCount:
    """Return a count by kind. The details leave some of it out as a rule; what they leave out is ``other``."""
    kinds = {types.MediaModality.TEXT: 0, types.MediaModality.AUDIO: 0}
    for detail in details or ():
        if detail.modality in kinds:
            kinds[detail.modality] += detail.token_count or 0
    text, audio = kinds.values()
    return TokenCount(text, audio, max(0, (count or 0) - text - audio))


def _voice_activity(message: types.LiveServerMessage) -> Iterator[LinkMessage]:
    kind = message.voice_activity and message.voice_activity.voice_activity_type
    if kind == types.VoiceActivityType.ACTIVITY_START:
        yield SpeechStarted()
    elif kind == types.VoiceActivityType.ACTIVITY_END:
        yield SpeechEnded()


def _duration(text: str) -> Seconds:
    """Read a protobuf duration such as ``9.5s``; what cannot be read leaves no time."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", text)
    return Seconds(float(match[1]) if match else 0.0)


# Failures


FOREIGN: Final = (errors.APIError, WebSocketException, OSError, ValueError, TypeError, AttributeError, RecursionError)
"""All that google-genai 3.4 raises where a connection or a message is at fault. The last four: a server message of a
kind that it does not know, or that is malformed (`pydantic.ValidationError` is a ValueError), or without end."""

_ABNORMAL: Final = 1006
_CLOCK: Final = frozenset({9, 10})
"""OpenSSL: the certificate is not valid yet, or no longer."""
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


def classify(error: Exception, phase: Phase) -> LinkError:
    """Return what one of `FOREIGN` means, in one line that holds no secret; `closing.TABLE` decides."""
    ending = _ending(error, phase)
    verdict = judge(ending)
    return LinkError(_line(error, ending), verdict.cause, verdict.action)


def _ending(error: Exception, phase: Phase) -> ConnectionFailure:
    """Take out of a foreign exception what there is to see."""
    match error:
        case ConnectionClosed():
            return ConnectionFailure(phase, FailureKind.CLOSED, *_close_frame(error))
        case errors.APIError() if (error.code or 0) >= 1000:
            return ConnectionFailure(phase, FailureKind.CLOSED, *_close_code(error))
        case errors.APIError():
            return ConnectionFailure(phase, FailureKind.ANSWERED, error.code or 0, str(error.message or ""))
        case InvalidStatus():
            return ConnectionFailure(phase, FailureKind.ANSWERED, error.response.status_code)
        case OSError():
            return ConnectionFailure(phase, _network_sign(error))
        case WebSocketException():
            return ConnectionFailure(phase, FailureKind.INTERCEPTED)
        case _:
            return ConnectionFailure(phase, FailureKind.UNREADABLE)


def _close_frame(error: ConnectionClosed) -> tuple[int, str]:
    """Return code and reason of the close frame that was received; else of the one that we sent first."""
    frame = error.rcvd or error.sent
    return (frame.code, frame.reason) if frame else (_ABNORMAL, "")


def _close_code(error: errors.APIError) -> tuple[int, str]:
    """Return code and reason: the SDK tells of 1006 where we ended the connection ourselves and why."""
    if error.code == _ABNORMAL and isinstance(error.__context__, ConnectionClosed):
        return _close_frame(error.__context__)
    return error.code or _ABNORMAL, str(error.details or "")


def _network_sign(error: OSError) -> FailureKind:
    match error:
        case ssl.SSLCertVerificationError() if error.verify_code in _CLOCK:
            return FailureKind.CLOCK
        case ssl.SSLError():
            return FailureKind.INTERCEPTED
        case TimeoutError():
            return FailureKind.TIMEOUT
        case socket.gaierror():
            return FailureKind.NO_NAME
        case _:
            return FailureKind.NO_ROUTE if error.errno in _NO_ROUTE else FailureKind.BROKEN


def _line(error: Exception, ending: ConnectionFailure) -> str:
    """Return what happened; of foreign text only what the service said, and that without secrets."""
    match ending.sign:
        case FailureKind.CLOSED:
            return f"the Live service closed the connection ({shown(ending.code, ending.reason)})"
        case FailureKind.ANSWERED:
            return f"the Live service answered with an error ({shown(ending.code, ending.reason)})"
        case FailureKind.CLOCK:
            return "the certificate of the Live service is not valid today: is the clock of this device right?"
        case FailureKind.NO_NAME:
            return "the name of the Live service cannot be looked up: is this network connected to the Internet?"
        case FailureKind.TIMEOUT:
            return "the Live service did not answer in time"
        case FailureKind.UNREADABLE:
            return f"the Live service sent what is not understood ({type(error).__name__})"
        case FailureKind.INTERCEPTED:
            return _intercepted(error)
        case FailureKind.NO_ROUTE | FailureKind.BROKEN:
            number = getattr(error, "errno", None)
            return f"the Live service cannot be reached ({os.strerror(number) if number else type(error).__name__})"


def _intercepted(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return "the certificate of the Live service is not trusted: does something intercept this network?"
        case ssl.SSLError():
            return "no encrypted connection to the Live service comes about: does something intercept this network?"
        case _:
            return f"what answers is not the Live service ({type(error).__name__})"
