"""From google-genai's words into ours: server messages into link messages, failures into `LinkError`. Pure.

Every foreign exception that a Live connection can raise is listed in `FOREIGN` and explained by `classify`.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from enum import Enum
from typing import Final

from google.genai import errors, types
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from appliance.errors import LinkCause, LinkError
from appliance.live.ports import (
    GenerationComplete,
    GoAway,
    HandleUpdated,
    HeardText,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    SpokenText,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    UsageReported,
)
from appliance.units import REPLY, Seconds

# Messages


def translate(message: types.LiveServerMessage) -> list[LinkMessage]:
    """Return what one server message says, in the order in which it has to be acted upon.

    A server message may hold any combination of fields. An interruption comes first and takes the audio beside it
    along; audio and transcripts come before the end of the turn that they belong to.

    Raises:
        LinkError: The message breaks the contract (PROTOCOL).
    """
    content = message.server_content or types.LiveServerContent()
    return [
        *([Interrupted()] if content.interrupted else []),
        *_tools(message),
        *([] if content.interrupted else _audio(content)),
        *_transcripts(content),
        *([GenerationComplete()] if content.generation_complete else []),
        *([TurnComplete()] if content.turn_complete else []),
        *_session(message),
        *_voice_activity(message),
    ]


def _tools(message: types.LiveServerMessage) -> Iterator[LinkMessage]:
    cancelled = message.tool_call_cancellation
    if cancelled and cancelled.ids:
        yield ToolCallsCancelled(tuple(cancelled.ids))
    for call in (message.tool_call and message.tool_call.function_calls) or ():
        if not call.id or not call.name:
            raise _violation("a tool call without an id or a name")
        yield ToolCall(call.id, call.name, call.args or {})


def _audio(content: types.LiveServerContent) -> Iterator[ReplyAudio]:
    for part in (content.model_turn and content.model_turn.parts) or ():
        blob = part.inline_data
        if part.thought or not blob or not blob.data or not (blob.mime_type or "").startswith("audio/"):
            continue
        if not _is_reply_format(blob.mime_type or ""):
            raise _violation(f"audio as {blob.mime_type}, not as 16-bit samples at {REPLY.rate_hz} Hz")
        if len(blob.data) % 2:
            raise _violation("half an audio sample")
        yield ReplyAudio(blob.data)


def _is_reply_format(mime_type: str) -> bool:
    kind, *parameters = (piece.strip().lower() for piece in mime_type.split(";"))
    rates = [parameter for parameter in parameters if parameter.startswith("rate=")]
    return kind == "audio/pcm" and rates in ([], [f"rate={REPLY.rate_hz}"])


def _transcripts(content: types.LiveServerContent) -> Iterator[LinkMessage]:
    if content.input_transcription and content.input_transcription.text:
        yield HeardText(content.input_transcription.text)
    if content.output_transcription and content.output_transcription.text:
        yield SpokenText(content.output_transcription.text)


def _session(message: types.LiveServerMessage) -> Iterator[LinkMessage]:
    if message.usage_metadata and message.usage_metadata.total_token_count is not None:
        yield UsageReported(message.usage_metadata.total_token_count)
    if update := message.session_resumption_update:
        yield HandleUpdated((update.new_handle or None) if update.resumable else None)
    if message.go_away:
        yield GoAway(_duration(message.go_away.time_left or ""))


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


def _violation(what: str) -> LinkError:
    return LinkError(f"the Live service sent {what}", LinkCause.PROTOCOL)


# Failures


class Phase(Enum):
    """How far a connection has come: the same ending means different things before and after the set-up's answer."""

    OPENING = "opening"
    OPEN = "open"


FOREIGN: Final = (errors.APIError, WebSocketException, OSError, ValueError, TypeError, AttributeError)
"""All that google-genai 3.4 raises where a connection or a message is at fault. The last three: a server message of a
kind that it does not know, or that is malformed (`pydantic.ValidationError` is a ValueError)."""

_NORMAL: Final = 1000
_INVALID: Final = 1007
_POLICY: Final = 1008
_ABNORMAL: Final = 1006
_CLOCK: Final = frozenset({9, 10})
"""OpenSSL: the certificate is not valid yet, or no longer."""

_QUOTA: Final = re.compile(r"quota|rate.?limit|resource.?exhausted|too many requests", re.IGNORECASE)
_CREDENTIAL: Final = re.compile(
    r"unregistered callers|api key|permission|unauthenticated|ephemeral token|auth_token|token (has )?expired",
    re.IGNORECASE,
)
_SECRET: Final = re.compile(r"auth_tokens/[\w.~%+/=-]*|AIza[\w-]{8,}|AQ\.[\w-]{8,}")


def classify(error: Exception, phase: Phase) -> LinkError:
    """Return what one of `FOREIGN` means, in one line that holds no secret.

    Close codes say little without their reason: 1011 is an internal error or a used-up quota, 1008 an expired token or
    an unknown model. On an open link, an ending that may have to do with its token is DROPPED: a resumption fetches a
    new token, and is REFUSED if that was not it.
    """
    match error:
        case ConnectionClosed():
            return _closed(error.rcvd.code if error.rcvd else _ABNORMAL, error.rcvd.reason if error.rcvd else "", phase)
        case errors.APIError() if error.code is not None and error.code >= _NORMAL:
            return _closed(error.code, str(error.details or ""), phase)
        case errors.APIError():
            return _answered(error.code or 0, str(error.message or ""), phase)
        case InvalidStatus():
            return _answered(error.response.status_code, "", phase)
        case OSError():
            return LinkError(_network(error), _lost(phase))
        case WebSocketException():
            return LinkError(f"what answers is not the Live service ({type(error).__name__})", _lost(phase))
        case _:
            return _violation(f"what is not understood ({type(error).__name__})")


def _lost(phase: Phase) -> LinkCause:
    return LinkCause.UNREACHABLE if phase is Phase.OPENING else LinkCause.DROPPED


def _closed(code: int, reason: str, phase: Phase) -> LinkError:
    """Explain a WebSocket close code (RFC 6455, 7.4.1) and its reason."""
    if _QUOTA.search(reason):
        cause = LinkCause.QUOTA
    elif _CREDENTIAL.search(reason) or (phase is Phase.OPENING and code in {_INVALID, _POLICY}):
        cause = LinkCause.REFUSED
    elif phase is Phase.OPEN and code in {_NORMAL, _INVALID}:
        cause = LinkCause.ENDED if code == _NORMAL else LinkCause.PROTOCOL
    else:
        cause = _lost(phase)
    return LinkError(f"the Live service closed the connection ({_line(code, reason)})", cause)


def _answered(status: int, text: str, phase: Phase) -> LinkError:
    """Explain an HTTP status, of the upgrade or in an error message."""
    if status == 429 or _QUOTA.search(text):
        cause = LinkCause.QUOTA
    elif status in {400, 401, 403, 404}:
        cause = LinkCause.REFUSED
    else:
        cause = _lost(phase)
    return LinkError(f"the Live service answered with an error ({_line(status, text)})", cause)


def _line(code: int, text: str) -> str:
    """Return ``code: text`` on one line of bounded length, without anything like a token or a key."""
    shown = " ".join(_SECRET.sub("…", text).split())[:160]
    return f"{code}: {shown}" if shown else str(code)


def _network(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError() if error.verify_code in _CLOCK:
            return "the certificate of the Live service is not valid today: is the clock of this device right?"
        case ssl.SSLCertVerificationError():
            return "the certificate of the Live service is not trusted: does something intercept this network?"
        case ssl.SSLError():
            return "no encrypted connection to the Live service comes about: does something intercept this network?"
        case TimeoutError():
            return "the Live service did not answer in time"
        case socket.gaierror():
            return "the name of the Live service cannot be looked up: is this network connected to the Internet?"
        case _:
            why = os.strerror(error.errno) if error.errno else type(error).__name__
            return f"the Live service cannot be reached ({why})"
