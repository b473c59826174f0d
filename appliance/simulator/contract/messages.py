"""The Live API's wire: the JSON of both directions, close codes and their reasons. Pure.

The client mixes camelCase (outer names) and snake_case (nested names); protobuf's JSON accepts both. Audio is URL-safe
base64 from the Python SDK; standard base64 is accepted. The service answers in camelCase JSON in binary frames. Every
message that the service sends is built here.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from appliance.units import REPLY, UPLINK, Pcm

Message = Mapping[str, Any]

NORMAL: Final = 1000
ABNORMAL: Final = 1006
"""Never on the wire: the code of a connection that ended without a close frame (RFC 6455, 7.4.1)."""
INVALID_ARGUMENT: Final = 1007
POLICY_VIOLATION: Final = 1008
INTERNAL_ERROR: Final = 1011

REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        NORMAL: "",
        1001: "The server is going away.",
        INVALID_ARGUMENT: "Request contains an invalid argument.",
        POLICY_VIOLATION: "Operation is not implemented, or supported, or enabled.",
        INTERNAL_ERROR: "Internal error encountered.",
        1013: "The service is currently unavailable.",
    }
)
"""The service's usual reason for each close code."""
DEADLINE: Final = "Deadline expired before operation could complete."
"""The reason with 1011 at the end of a connection that goAway has announced."""

_FREE_FORM: Final = frozenset({"args", "response", "parameters", "parametersJsonSchema", "labels"})
"""Fields whose contents are the user's: their names are left alone."""
_LONGEST_KIND: Final = 100
_LONGEST_REASON: Final = 120
_UNDERSCORE: Final = re.compile(r"_([a-z])")
_INPUT_MIME: Final = re.compile(r"audio/pcm(?:;\s*rate=([1-9][0-9]{3,5}))?")
_HIGHEST_RATE_HZ: Final = 192_000


class ContractError(Exception):
    """The client violated the contract: the service closes the connection with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason[:_LONGEST_REASON]


def invalid(detail: str) -> ContractError:
    """Return the error for an invalid message."""
    return ContractError(INVALID_ARGUMENT, f"Request contains an invalid argument. {detail}")


def camel_case(value: object) -> object:
    """Return JSON with every API name in camelCase."""
    if isinstance(value, list):
        return [camel_case(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {_UNDERSCORE.sub(lambda match: match[1].upper(), name): item for name, item in value.items()}
    return {name: item if name in _FREE_FORM else camel_case(item) for name, item in renamed.items()}


def parse(payload: bytes) -> tuple[str, Message]:
    """Return the name and content of the only top-level field of a client's message, in camelCase.

    Raises:
        ContractError: It is not a JSON object with exactly one field, an object.
    """
    try:
        message = camel_case(json.loads(payload))
    except (ValueError, RecursionError) as error:
        raise invalid("The message is not JSON.") from error
    if not isinstance(message, dict) or len(message) != 1:
        raise invalid("The message must be an object with one field.")
    [name] = message
    return name, section(message, name)


def section(parent: Message, name: str) -> Message:
    """Return a nested object, empty if absent; raises ContractError if it is something else."""
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f'"{name}" must be an object.')
    return value


def samples(blob: Message) -> tuple[Pcm, int]:
    """Return the samples of a piece of the person's audio, mono, and their rate in Hz, by default 16 kHz.

    Raises:
        ContractError: It is in another format, or not base64 of whole samples.
    """
    mime = blob.get("mimeType")
    match = _INPUT_MIME.fullmatch(mime) if isinstance(mime, str) else None
    rate_hz = int(match[1] or UPLINK.rate_hz) if match else 0
    if not 0 < rate_hz <= _HIGHEST_RATE_HZ:
        raise invalid("Audio must be audio/pcm with a rate, as audio/pcm;rate=16000.")
    data = blob.get("data")
    if not isinstance(data, str):
        raise invalid("Audio without data.")
    standard = data.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        pcm = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        return np.frombuffer(pcm, dtype="<i2").astype(np.int16), rate_hz
    except (binascii.Error, ValueError) as error:
        raise invalid("Audio must be base64 of 16-bit samples.") from error


def setup_complete() -> Message:
    """Return setupComplete."""
    return {"setupComplete": {}}


def server_content(**fields: object) -> Message:
    """Return a serverContent message."""
    return {"serverContent": fields}


def model_turn(pcm: Pcm) -> Message:
    """Return the content of ``modelTurn`` for a piece of the model's audio, 24 kHz mono."""
    blob = {
        "mimeType": f"audio/pcm;rate={REPLY.rate_hz}",
        "data": base64.b64encode(pcm.astype("<i2").tobytes()).decode(),
    }
    return {"role": "model", "parts": [{"inlineData": blob}]}


def speech(pcm: Pcm) -> Message:
    """Return a message with a piece of the model's audio, 24 kHz mono."""
    return server_content(modelTurn=model_turn(pcm))


def usage(prompt_tokens: int, response_tokens: int) -> Message:
    """Return the usageMetadata of a turn; the prompt is the whole context, billed again with every turn."""
    counts = {
        "promptTokenCount": prompt_tokens,
        "responseTokenCount": response_tokens,
        "totalTokenCount": prompt_tokens + response_tokens,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": prompt_tokens}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": response_tokens}],
    }
    return {"usageMetadata": counts}


def tool_call(calls: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Message:
    """Return one message with several calls: id, name and arguments of each."""
    return {"toolCall": {"functionCalls": [{"id": id_, "name": name, "args": dict(args)} for id_, name, args in calls]}}


def tool_call_cancellation(ids: Iterable[str]) -> Message:
    """Return the message that cancels these calls."""
    return {"toolCallCancellation": {"ids": sorted(ids)}}


def resumption_update(handle: str | None) -> Message:
    """Return the message with a new handle; None: the session cannot be resumed now."""
    update = {"newHandle": handle, "resumable": True} if handle else {"resumable": False}
    return {"sessionResumptionUpdate": update}


def go_away(time_left_s: float) -> Message:
    """Return goAway; a protobuf duration has at most nine decimals."""
    return {"goAway": {"timeLeft": f"{round(time_left_s, 9):.9f}".rstrip("0").rstrip(".") + "s"}}


def voice_activity(kind: str, offset_s: float) -> Message:
    """Return the message for an edge of the person's speech, at an offset from the start of the stream."""
    return {"voiceActivity": {"type": kind, "audioOffset": f"{offset_s:.3f}s"}}


def encode(message: Message) -> bytes:
    """Serialise a message."""
    return json.dumps(message).encode()


def kind(name: str, content: object) -> str:
    """Return the kind of a message for the record: its name and those of its fields, never a value."""
    inside = "+".join(content) if isinstance(content, dict) else ""
    return f"{name}.{inside}"[:_LONGEST_KIND] if inside else name[:_LONGEST_KIND]
