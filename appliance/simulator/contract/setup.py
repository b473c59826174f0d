"""Parsing and checking a connection's set-up. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from appliance.simulator.contract.messages import Message, invalid, section
from appliance.simulator.contract.models import THINKING_LEVELS, Behavior, Model, Thinking, rules

_KNOWN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "setup": frozenset(
            {
                "model", "generationConfig", "systemInstruction", "tools", "realtimeInputConfig", "sessionResumption",
                "contextWindowCompression", "inputAudioTranscription", "outputAudioTranscription", "proactivity",
                "historyConfig", "safetySettings", "labels", "avatarConfig",
            }
        ),
        "generationConfig": frozenset(
            {
                "responseModalities", "temperature", "topP", "topK", "maxOutputTokens", "mediaResolution", "seed",
                "speechConfig", "thinkingConfig", "enableAffectiveDialog", "translationConfig", "candidateCount",
                "presencePenalty", "frequencyPenalty", "stopSequences",
            }
        ),
        "realtimeInputConfig": frozenset(
            {
                "automaticActivityDetection", "activityHandling", "turnCoverage", "interimTranscriptTimestampEnabled",
            }
        ),
        "sessionResumption": frozenset({"handle"}),
        "contextWindowCompression": frozenset({"triggerTokens", "slidingWindow"}),
        "proactivity": frozenset({"proactiveAudio", "proactiveVideo"}),
        "historyConfig": frozenset({"initialHistoryInClientContent"}),
    }
)  # fmt: skip
"""The fields of a set-up and of those sections whose fields are checked."""
_DETECTION: Final = frozenset(
    {"disabled", "startOfSpeechSensitivity", "endOfSpeechSensitivity", "prefixPaddingMs", "silenceDurationMs"}
)
_SENSITIVITIES: Final = frozenset(
    {
        "START_SENSITIVITY_UNSPECIFIED", "START_SENSITIVITY_HIGH", "START_SENSITIVITY_LOW",
        "END_SENSITIVITY_UNSPECIFIED", "END_SENSITIVITY_HIGH", "END_SENSITIVITY_LOW",
    }
)  # fmt: skip
_CONTEXT_TOKENS: Final = 131_072
_DEFAULT_TRIGGER: Final = _CONTEXT_TOKENS * 8 // 10


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """Settings of automatic activity detection."""

    prefix_padding_ms: int = 40
    """Speech of this length begins a turn."""
    silence_duration_ms: int = 600
    """Silence of this length ends it."""


@dataclass(frozen=True, slots=True)
class Compression:
    """Context window compression: the size at which the oldest context is discarded, and the size after it."""

    trigger_tokens: int
    target_tokens: int


@dataclass(frozen=True, slots=True)
class Setup:
    """The parts of a set-up that matter to the simulator."""

    model: str
    rules: Model
    detection: DetectionSettings | None
    """None: the client marks where turns begin and end."""
    interruptible: bool
    """The person's speech interrupts the model."""
    input_transcription: bool
    output_transcription: bool
    resumption: bool
    """The client wants handles."""
    handle: str | None
    """The session to resume; None begins a new one."""
    compression: Compression | None
    initial_history: bool
    """The client begins with clientContent as history."""
    tools: Mapping[str, Behavior] = field(default_factory=dict)
    """The declared functions."""

    def behavior(self, tool: str) -> Behavior:
        """Return the behavior of a tool; BLOCKING if it was not declared."""
        return self.tools.get(tool, Behavior.BLOCKING)


def check_names(setup: Message) -> None:
    """Raise ContractError for an unknown field of a set-up or of its sections."""
    for path, known in _KNOWN.items():
        for name in setup if path == "setup" else section(setup, path):
            if name not in known:
                raise invalid(f"Unknown name \"{name}\" at '{path}'.")


def parse_setup(setup: Message) -> Setup:
    """Parse a set-up in camelCase.

    Raises:
        ContractError: The service would refuse it.
    """
    check_names(setup)
    model = setup.get("model")
    if not isinstance(model, str) or not model.startswith("models/"):
        raise invalid('"model" must be models/ and a name.')
    known = rules(model)
    _check_generation(section(setup, "generationConfig"), known)
    if section(setup, "proactivity").get("proactiveAudio") is False and not known.optional_proactivity:
        raise invalid("Proactive audio cannot be turned off for this model.")
    handle = section(setup, "sessionResumption").get("handle")
    if not isinstance(handle, str | None):
        raise invalid('"handle" must be a string.')
    realtime_input = section(setup, "realtimeInputConfig")
    return Setup(
        model=model,
        rules=known,
        detection=_detection(section(realtime_input, "automaticActivityDetection")),
        interruptible=realtime_input.get("activityHandling") != "NO_INTERRUPTION",
        input_transcription="inputAudioTranscription" in setup,
        output_transcription="outputAudioTranscription" in setup,
        resumption="sessionResumption" in setup,
        handle=handle or None,
        compression=_compression(setup),
        initial_history=section(setup, "historyConfig").get("initialHistoryInClientContent") is True,
        tools=dict(_tools(setup.get("tools", []), known)),
    )


def _check_generation(generation: Message, known: Model) -> None:
    modalities = generation.get("responseModalities", ["AUDIO"])
    if not isinstance(modalities, list) or [str(one).upper() for one in modalities] != ["AUDIO"]:
        raise invalid("The model answers in AUDIO only.")
    if "enableAffectiveDialog" in generation and not known.affective_dialog:
        raise invalid("Unknown name \"enableAffectiveDialog\" at 'setup.generation_config'.")
    level = str(section(generation, "thinkingConfig").get("thinkingLevel", "")).upper()
    if known.thinking is Thinking.REFUSED and "thinkingConfig" in generation:
        raise invalid("Thinking is not supported for this model.")
    if known.thinking is Thinking.LEVEL_REQUIRED and level not in THINKING_LEVELS:
        raise invalid("This model needs a thinking level: low, medium or high.")


def _detection(chosen: Message) -> DetectionSettings | None:
    for name in chosen:
        if name not in _DETECTION:
            raise invalid(f"Unknown name \"{name}\" at 'automatic_activity_detection'.")
    for name in ("startOfSpeechSensitivity", "endOfSpeechSensitivity"):
        if name in chosen and not (isinstance(chosen[name], str) and chosen[name] in _SENSITIVITIES):
            raise invalid(f'Invalid value at "{name}".')
    if chosen.get("disabled"):
        return None
    default = DetectionSettings()
    padding = chosen.get("prefixPaddingMs", default.prefix_padding_ms)
    silence = chosen.get("silenceDurationMs", default.silence_duration_ms)
    if not all(isinstance(one, int) and 0 <= one <= 10_000 for one in (padding, silence)):
        raise invalid("Durations must be 0 to 10000 ms.")
    return DetectionSettings(padding, silence)


def _compression(setup: Message) -> Compression | None:
    if "contextWindowCompression" not in setup:
        return None
    chosen = section(setup, "contextWindowCompression")
    trigger = _tokens(chosen, "triggerTokens", _DEFAULT_TRIGGER)
    return Compression(trigger, _tokens(section(chosen, "slidingWindow"), "targetTokens", trigger // 2))


def _tokens(parent: Message, name: str, default: int) -> int:
    """Return a token count; protobuf's JSON writes 64-bit integers as strings and accepts both."""
    try:
        count = int(parent.get(name, default))
    except (TypeError, ValueError, OverflowError) as error:
        raise invalid(f'"{name}" must be a number.') from error
    if not 0 < count <= _CONTEXT_TOKENS:
        raise invalid(f'"{name}" must be 1 to {_CONTEXT_TOKENS}.')
    return count


def _tools(tools: object, known: Model) -> Iterator[tuple[str, Behavior]]:
    for tool in tools if isinstance(tools, list) else [None]:
        declarations = tool.get("functionDeclarations", []) if isinstance(tool, dict) else None
        for declared in declarations if isinstance(declarations, list) else [None]:
            if not isinstance(declared, dict) or not isinstance(declared.get("name"), str):
                raise invalid('"tools" must be a list of tools with names.')
            yield declared["name"], _behavior(declared, known)


def _behavior(declared: Mapping[str, Any], known: Model) -> Behavior:
    asked = declared.get("behavior")
    if asked is None or asked == "UNSPECIFIED":
        return known.default_behavior
    if asked not in [one.value for one in known.behaviors]:
        raise invalid(f"Function calling behavior {asked} is not supported for this model.")
    return Behavior(asked)
