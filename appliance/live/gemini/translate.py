"""Translates google-genai's server messages to link messages and its exceptions to `LinkError`. Pure.

`SDK_ERRORS` are all the exceptions that a Live connection raises; `link_error` translates them.
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
from appliance.live.failures import ConnectionFailure, FailureKind, Phase, classify, redacted
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

__all__ = ["SDK_ERRORS", "Phase", "link_error", "translate"]

# Messages

MAX_CALLS: Final = 32
"""Tool calls in one message; a message with more is refused."""
MAX_TEXT: Final = 4000
"""Characters of transcript in one message: minutes of speech. The rest is discarded."""


def _ignore(_: str) -> None:
    pass


def translate(message: types.LiveServerMessage, on_malformed: Callable[[str], None] = _ignore) -> Iterator[LinkMessage]:
    """Yield the link messages of one server message, in the order in which they must be handled.

    A server message may hold any combination of fields. An interruption comes first, and discards audio in the same
    message; audio and transcripts come before the end of their turn. An unusable part is omitted, and ``on_malformed``
    is called with a description of it.

    Raises:
        LinkError: More than `MAX_CALLS` tool calls (PROTOCOL).
    """
    content = message.server_content or types.LiveServerContent()
    if content.interrupted:
        yield Interrupted()
    yield from _tools(message, on_malformed)
    if _is_thinking(content):
        yield Thinking()
    yield from _grounding(content)
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
    if len(calls) > MAX_CALLS:
        raise LinkError(f"the Live service sent {len(calls)} tool calls in one message", LinkCause.PROTOCOL)
    for call in calls:
        if not call.id or not call.name:
            on_malformed("a tool call without an id or a name")
        else:
            yield ToolCall(call.id, call.name, call.args or {})


def _is_thinking(content: types.LiveServerContent) -> bool:
    """Return whether the message has parts that are not to be heard."""
    parts = (content.model_turn and content.model_turn.parts) or ()
    return any(part.thought or part.executable_code or part.code_execution_result for part in parts)


def _grounding(content: types.LiveServerContent) -> Iterator[Grounding]:
    metadata = content.grounding_metadata
    if metadata or content.url_context_metadata:
        webs = [chunk.web for chunk in (metadata and metadata.grounding_chunks) or ()]
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
            on_malformed("half an audio sample")  # which half is unknown; played, it could be loud noise
        else:
            yield ReplyAudio(blob.data)


def _transcripts(
    content: types.LiveServerContent, on_malformed: Callable[[str], None]
) -> Iterator[HeardText | SpokenText]:
    for kind, transcription in ((HeardText, content.input_transcription), (SpokenText, content.output_transcription)):
        text = transcription.text if transcription else None
        if not text:
            continue
        if len(text) > MAX_TEXT:
            on_malformed(f"a transcript of more than {MAX_TEXT} characters")
        yield kind(text[:MAX_TEXT])


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
"""All others, and future ones, mean that the question or the answer was blocked."""


def _turn_end(content: types.LiveServerContent) -> Iterator[LinkMessage]:
    given = content.turn_complete_reason or types.TurnCompleteReason.TURN_COMPLETE_REASON_UNSPECIFIED
    reason = _REASONS.get(given, TurnReason.REFUSED)
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
    """Return the number of messages that a handle covers; the index of the last one counts the set-up as the first."""
    index = update.last_consumed_client_message_index
    return None if index is None else max(0, index)


def _usage(usage: types.UsageMetadata) -> Iterator[UsageReported]:
    """Yield the usage; results of the service's own tools are billed as part of the prompt."""
    tool_use = _tokens(usage.tool_use_prompt_token_count, usage.tool_use_prompt_tokens_details)
    report = UsageReported(
        usage.total_token_count or 0,
        prompt=_tokens(usage.prompt_token_count, usage.prompt_tokens_details) + tool_use,
        response=_tokens(usage.response_token_count, usage.response_tokens_details),
        thoughts=usage.thoughts_token_count or 0,
    )
    if report != UsageReported(0):
        yield report


def _tokens(count: int | None, details: list[types.ModalityTokenCount] | None) -> TokenCount:
    """Return token counts by modality; tokens that the details omit, as they usually do, are ``other``."""
    counts = {types.MediaModality.TEXT: 0, types.MediaModality.AUDIO: 0}
    for detail in details or ():
        if detail.modality in counts:
            counts[detail.modality] += detail.token_count or 0
    text, audio = counts.values()
    return TokenCount(text, audio, max(0, (count or 0) - text - audio))


def _voice_activity(message: types.LiveServerMessage) -> Iterator[LinkMessage]:
    kind = message.voice_activity and message.voice_activity.voice_activity_type
    if kind == types.VoiceActivityType.ACTIVITY_START:
        yield SpeechStarted()
    elif kind == types.VoiceActivityType.ACTIVITY_END:
        yield SpeechEnded()


def _duration(text: str) -> Seconds:
    """Parse a protobuf duration such as ``9.5s``; 0 if it is malformed."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", text)
    return Seconds(float(match[1]) if match else 0.0)


# Failures


SDK_ERRORS: Final = (
    errors.APIError,
    WebSocketException,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""The exceptions that google-genai 3.4 raises for a failed connection or message. The last four are for a server
message of an unknown kind, a malformed one (`pydantic.ValidationError` is a ValueError), or one nested without end."""

_ABNORMAL: Final = 1006
_CERTIFICATE_DATES: Final = frozenset({9, 10})
"""OpenSSL's verify errors: the certificate is not valid yet, or has expired."""
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


def link_error(error: Exception, phase: Phase) -> LinkError:
    """Return the LinkError for one of `SDK_ERRORS`, its text free of secrets; `failures.TABLE` decides."""
    failure = _failure(error, phase)
    decision = classify(failure)
    return LinkError(_text(error, failure), decision.cause, decision.action)


def _failure(error: Exception, phase: Phase) -> ConnectionFailure:
    """Extract the facts from an exception."""
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
            return ConnectionFailure(phase, _network_failure(error))
        case WebSocketException():
            return ConnectionFailure(phase, FailureKind.INTERCEPTED)
        case _:
            return ConnectionFailure(phase, FailureKind.UNREADABLE)


def _close_frame(error: ConnectionClosed) -> tuple[int, str]:
    """Return code and reason of the received close frame, else of the one that we sent."""
    frame = error.rcvd or error.sent
    return (frame.code, frame.reason) if frame else (_ABNORMAL, "")


def _close_code(error: errors.APIError) -> tuple[int, str]:
    """Return code and reason; the SDK reports 1006 although we closed the connection ourselves."""
    if error.code == _ABNORMAL and isinstance(error.__context__, ConnectionClosed):
        return _close_frame(error.__context__)
    return error.code or _ABNORMAL, str(error.details or "")


def _network_failure(error: OSError) -> FailureKind:
    match error:
        case ssl.SSLCertVerificationError() if error.verify_code in _CERTIFICATE_DATES:
            return FailureKind.CLOCK
        case ssl.SSLError():
            return FailureKind.INTERCEPTED
        case TimeoutError():
            return FailureKind.TIMEOUT
        case socket.gaierror():
            return FailureKind.NO_NAME
        case _:
            return FailureKind.NO_ROUTE if error.errno in _NO_ROUTE else FailureKind.BROKEN


def _text(error: Exception, failure: ConnectionFailure) -> str:
    """Return a description of the failure; of foreign text it quotes only the service's, redacted."""
    match failure.kind:
        case FailureKind.CLOSED:
            return f"the Live service closed the connection ({redacted(failure.code, failure.reason)})"
        case FailureKind.ANSWERED:
            return f"the Live service answered with an error ({redacted(failure.code, failure.reason)})"
        case FailureKind.CLOCK:
            return "the Live service's certificate is not valid today: check this device's clock"
        case FailureKind.NO_NAME:
            return "the Live service's name cannot be resolved: check this network's Internet connection"
        case FailureKind.TIMEOUT:
            return "the Live service did not answer in time"
        case FailureKind.UNREADABLE:
            return f"the Live service sent messages that cannot be read ({type(error).__name__})"
        case FailureKind.INTERCEPTED:
            return _intercepted(error)
        case FailureKind.NO_ROUTE | FailureKind.BROKEN:
            number = getattr(error, "errno", None)
            return f"the Live service cannot be reached ({os.strerror(number) if number else type(error).__name__})"


def _intercepted(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return "the Live service's certificate is not trusted: check whether this network intercepts connections"
        case ssl.SSLError():
            return "no encrypted connection to the Live service: check whether this network intercepts connections"
        case _:
            return f"something other than the Live service answers ({type(error).__name__})"
