"""The JSON of the Live API's wire, as far as both directions share it. Pure.

Facts: the client mixes camelCase (outer names) and snake_case (nested names), and protobuf's JSON takes both; audio is
URL-safe base64 from the Python SDK and may be standard base64; the service answers camelCase JSON in binary frames.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from appliance.units import REPLY, UPLINK, Pcm

Message = Mapping[str, Any]

INVALID_ARGUMENT: Final = 1007
POLICY_VIOLATION: Final = 1008
INTERNAL_ERROR: Final = 1011

_FREE_FORM: Final = frozenset({"args", "response", "parameters", "parametersJsonSchema", "labels"})
"""Their contents belong to the user: names inside are not the API's."""
_LONGEST_KIND: Final = 100
_LONGEST_REASON: Final = 120
_UNDERSCORE: Final = re.compile(r"_([a-z])")
_INPUT_MIME: Final = re.compile(rf"audio/pcm(;\s*rate={UPLINK.rate_hz})?")


class ContractError(Exception):
    """The client broke the contract: the service closes the connection with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason[:_LONGEST_REASON]


def invalid(what: str) -> ContractError:
    """Return the error for a message that the contract excludes."""
    return ContractError(INVALID_ARGUMENT, f"Request contains an invalid argument. {what}")


def camel_case(value: object) -> object:
    """Return JSON with every name of the API in camelCase."""
    if isinstance(value, list):
        return [camel_case(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {_UNDERSCORE.sub(lambda match: match[1].upper(), name): item for name, item in value.items()}
    return {name: item if name in _FREE_FORM else camel_case(item) for name, item in renamed.items()}


def parse(payload: bytes) -> tuple[str, Message]:
    """Return the one top-level field of a client's message, in camelCase.

    Raises:
        ContractError: It is not a JSON object with exactly one field that is an object.
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
    """Return an object inside an object, empty where it is absent; raises ContractError where it is something else."""
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f'"{name}" must be an object.')
    return value


def samples(blob: Message) -> Pcm:
    """Return the samples of a piece of the person's audio, 16 kHz mono.

    Raises:
        ContractError: It has another format, or is not base64 of whole samples.
    """
    mime = blob.get("mimeType")
    if not isinstance(mime, str) or not _INPUT_MIME.fullmatch(mime):
        raise invalid(f"Audio must be audio/pcm;rate={UPLINK.rate_hz}.")
    data = blob.get("data")
    if not isinstance(data, str):
        raise invalid("Audio without data.")
    standard = data.translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        pcm = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
        return np.frombuffer(pcm, dtype="<i2").astype(np.int16)
    except (binascii.Error, ValueError) as error:
        raise invalid("Audio must be base64 of 16-bit samples.") from error


def server_content(**fields: object) -> Message:
    """Return a serverContent message."""
    return {"serverContent": fields}


def speech(pcm: Pcm) -> Message:
    """Return a piece of the model's audio, 24 kHz mono."""
    blob = {
        "mimeType": f"audio/pcm;rate={REPLY.rate_hz}",
        "data": base64.b64encode(pcm.astype("<i2").tobytes()).decode(),
    }
    return server_content(modelTurn={"role": "model", "parts": [{"inlineData": blob}]})


def kind(name: str, content: object) -> str:
    """Return what a message is, for the record: its name and the names directly inside it, never a value."""
    inside = "+".join(content) if isinstance(content, dict) else ""
    return f"{name}.{inside}"[:_LONGEST_KIND] if inside else name[:_LONGEST_KIND]
