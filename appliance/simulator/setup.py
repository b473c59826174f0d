"""The set-up of a connection: what is accepted, what it means, and what a token locks of it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from appliance.simulator.wire import Message, invalid, section

_KNOWN: Final = frozenset(
    {
        "model", "generationConfig", "systemInstruction", "tools", "realtimeInputConfig", "sessionResumption",
        "contextWindowCompression", "inputAudioTranscription", "outputAudioTranscription", "proactivity",
        "historyConfig", "safetySettings", "labels", "avatarConfig",
    }
)  # fmt: skip
_MASK_PATH: Final = re.compile(r"[a-zA-Z0-9]+(\.[a-zA-Z0-9]+)*")


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """How the service finds the person's turns in the audio."""

    prefix_padding_ms: int = 40
    """Speech this long is a beginning."""
    silence_duration_ms: int = 600
    """Silence this long is an end."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The parts of a set-up that change what the simulator does."""

    model: str
    detection: DetectionSettings | None
    """None: the client says where turns begin and end."""
    input_transcription: bool
    output_transcription: bool
    resumption: bool
    """The client wants handles."""
    handle: str | None
    """The client wants to go on with that session."""


def check_names(setup: Message) -> None:
    """Raise ContractError for a field that a set-up does not have."""
    for name in setup:
        if name not in _KNOWN:
            raise invalid(f"Unknown name \"{name}\" at 'setup'.")


def parse_setup(setup: Message) -> Setup:
    """Return what a set-up (camelCase) means.

    Raises:
        ContractError: The service would close the connection for it.
    """
    check_names(setup)
    model = setup.get("model")
    if not isinstance(model, str) or not model.startswith("models/"):
        raise invalid('"model" must be models/ and a name.')
    modalities = section(setup, "generationConfig").get("responseModalities", ["AUDIO"])
    if not isinstance(modalities, list) or [str(one).upper() for one in modalities] != ["AUDIO"]:
        raise invalid("The model answers in AUDIO only.")
    handle = section(setup, "sessionResumption").get("handle")
    if not isinstance(handle, str | None):
        raise invalid('"handle" must be a string.')
    return Setup(
        model=model,
        detection=_detection(section(setup, "realtimeInputConfig")),
        input_transcription="inputAudioTranscription" in setup,
        output_transcription="outputAudioTranscription" in setup,
        resumption="sessionResumption" in setup,
        handle=handle,
    )


def _detection(realtime_input: Message) -> DetectionSettings | None:
    if realtime_input.get("activityHandling") == "NO_INTERRUPTION":
        raise invalid("NO_INTERRUPTION is not simulated.")
    chosen = section(realtime_input, "automaticActivityDetection")
    if chosen.get("disabled"):
        return None
    default = DetectionSettings()
    padding = chosen.get("prefixPaddingMs", default.prefix_padding_ms)
    silence = chosen.get("silenceDurationMs", default.silence_duration_ms)
    if not all(isinstance(one, int) and 0 <= one <= 10_000 for one in (padding, silence)):
        raise invalid("Durations must be 0 to 10000 ms.")
    return DetectionSettings(padding, silence)


@dataclass(frozen=True, slots=True)
class Lock:
    """What a token fixes of the set-ups of its connections."""

    setup: Mapping[str, Any] | None = None
    mask: tuple[str, ...] = ()

    def applied(self, setup: Message) -> Message:
        """Return the set-up that counts when a connection asks for ``setup``.

        Without a set-up in the token, the connection's. With one and no mask, the token's, whole. With a mask, the
        connection's with each masked field taken from the token; one that the token does not have is taken away.
        """
        if self.setup is None:
            return setup
        if not self.mask:
            return self.setup
        result: Message = setup
        for path in self.mask:
            result = _with_field(result, path.split("."), self.setup)
        return result


def parse_lock(setup: object, field_mask: object) -> Lock:
    """Return the lock that a request for a token describes (camelCase).

    Raises:
        ContractError: The set-up has an unknown field, or the mask is not one.
    """
    if setup is not None and not isinstance(setup, dict):
        raise invalid('"bidiGenerateContentSetup" must be an object.')
    check_names(setup or {})
    if not isinstance(field_mask, str | None):
        raise invalid('"fieldMask" must be a string.')
    paths = field_mask.split(",") if field_mask else []
    for path in paths:
        # protobuf's parser of JSON field masks takes camelCase only.
        if not _MASK_PATH.fullmatch(path):
            raise invalid(f'"fieldMask" has a path that is not camelCase: "{path}".')
    return Lock(setup, tuple(paths))


def _with_field(target: Message, path: list[str], source: Message) -> Message:
    """Return ``target`` with the field at ``path`` as ``source`` has it."""
    name, *rest = path
    if rest:
        below = _with_field(_object(target, name), rest, _object(source, name))
        return {**target, name: below} if below or name in target else target
    others = {key: value for key, value in target.items() if key != name}
    return {**others, name: source[name]} if name in source else others


def _object(parent: Message, name: str) -> Message:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}
