"""The set-up message of a Live link, as google-genai wants it. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from google.genai import types

from appliance.core.state import Mode
from appliance.live.capabilities import Capabilities, Feature, capabilities
from appliance.live.ports import ToolDeclaration
from appliance.live.tiers import Tier
from appliance.settings import Live

COMPRESSION_TRIGGER_TOKENS: Final = 25_000
"""About a quarter of an hour of talk. Every turn is billed for the whole context, so the service's own limit of 104,000
would never cap the cost (ai.google.dev, Live API, session management)."""
COMPRESSION_TARGET_TOKENS: Final = 12_000


class Sensitivity(Enum):
    """How easily the service takes something for a beginning or an end of speech."""

    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one link is to have besides `settings.Live`, as far as its model has it. None: as the service likes it."""

    start_sensitivity: Sensitivity | None = None
    end_sensitivity: Sensitivity | None = None
    silence_ms: int | None = None
    """Silence this long ends the person's turn."""
    padding_ms: int | None = None
    """Speech this long begins it."""
    vocabulary: tuple[str, ...] = ()
    """Names and words that transcription should expect."""
    temperature: float | None = None
    thinking_level: str | None = None
    """MINIMAL, LOW, MEDIUM or HIGH."""
    proactive_silence: bool = False
    """The model may stay silent when it is not meant."""
    affective_dialog: bool = False
    google_search: bool = False
    trigger_tokens: int = COMPRESSION_TRIGGER_TOKENS
    target_tokens: int = COMPRESSION_TARGET_TOKENS
    seeded: bool = False
    """A transcript will be sent before anything else (`memory.Seed`)."""
    without: frozenset[Tier] = frozenset()
    """What this model has been found not to take."""

    def keeps(self, tier: Tier) -> bool:
        """Return whether a part may be in the set-up."""
        return tier not in self.without


def live_config(
    settings: Live,
    model: str,
    mode: Mode,
    handle: str | None,
    declarations: Sequence[ToolDeclaration],
    wishes: Wishes = Wishes(),
) -> types.LiveConnectConfig:
    """Return what is asked of the service for one link; with ``handle``, to go on with that session."""
    known = capabilities(model)
    transcribed = settings.transcripts and wishes.keeps(Tier.TRANSCRIPTION)
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        speech_config=_speech(settings, known, wishes),
        thinking_config=_thinking(known, wishes),
        system_instruction=settings.instruction,
        tools=_tools(declarations, known, wishes),
        session_resumption=types.SessionResumptionConfig(handle=handle),
        input_audio_transcription=_heard(known, wishes) if transcribed else None,
        output_audio_transcription=types.AudioTranscriptionConfig() if transcribed else None,
        realtime_input_config=types.RealtimeInputConfig(automatic_activity_detection=_detection(mode, wishes)),
        context_window_compression=_compression(wishes),
        **_extras(known, wishes),
    )


def _speech(settings: Live, known: Capabilities, wishes: Wishes) -> types.SpeechConfig:
    named = known.has(Feature.LANGUAGE_CODE) and wishes.keeps(Tier.LANGUAGE)
    return types.SpeechConfig(
        voice_config=types.VoiceConfig(
            prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=settings.voice),
        ),
        language_code=settings.language if named else None,
    )


def _thinking(known: Capabilities, wishes: Wishes) -> types.ThinkingConfig | None:
    level = wishes.thinking_level if wishes.thinking_level in known.thinking_levels else known.thinking_level
    if level is None or not wishes.keeps(Tier.THINKING):
        return None
    return types.ThinkingConfig(thinking_level=types.ThinkingLevel(level))


def _heard(known: Capabilities, wishes: Wishes) -> types.AudioTranscriptionConfig:
    helped = wishes.vocabulary and known.has(Feature.VOCABULARY) and wishes.keeps(Tier.VOCABULARY)
    return types.AudioTranscriptionConfig(custom_vocabulary=list(wishes.vocabulary) if helped else None)


def _detection(mode: Mode, wishes: Wishes) -> types.AutomaticActivityDetection:
    if mode is Mode.PUSH_TO_TALK:
        return types.AutomaticActivityDetection(disabled=True)
    if not wishes.keeps(Tier.DETECTION):
        return types.AutomaticActivityDetection(disabled=False)
    start, end = wishes.start_sensitivity, wishes.end_sensitivity
    return types.AutomaticActivityDetection(
        disabled=False,
        start_of_speech_sensitivity=types.StartSensitivity(f"START_SENSITIVITY_{start.name}") if start else None,
        end_of_speech_sensitivity=types.EndSensitivity(f"END_SENSITIVITY_{end.name}") if end else None,
        silence_duration_ms=wishes.silence_ms,
        prefix_padding_ms=wishes.padding_ms,
    )


def _compression(wishes: Wishes) -> types.ContextWindowCompressionConfig | None:
    if not wishes.keeps(Tier.COMPRESSION):
        return None
    if not wishes.keeps(Tier.COMPRESSION_NUMBERS):
        return types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow())
    return types.ContextWindowCompressionConfig(
        trigger_tokens=wishes.trigger_tokens,
        sliding_window=types.SlidingWindow(target_tokens=wishes.target_tokens),
    )


def _tools(declarations: Sequence[ToolDeclaration], known: Capabilities, wishes: Wishes) -> types.ToolListUnion | None:
    behavior = known.tool_behavior if wishes.keeps(Tier.TOOL_BEHAVIOR) else None
    functions = [
        types.FunctionDeclaration(
            name=tool.name,
            description=tool.description,
            parameters_json_schema=dict(tool.parameters),
            behavior=types.Behavior(behavior) if behavior else None,
        )
        for tool in declarations
    ]
    tools: types.ToolListUnion = []
    if functions:
        tools.append(types.Tool(function_declarations=functions))
    if wishes.google_search and wishes.keeps(Tier.SEARCH):
        tools.append(types.Tool(google_search=types.GoogleSearch()))
    return tools or None


def _extras(known: Capabilities, wishes: Wishes) -> dict[str, Any]:
    """Return the fields that are mentioned only where somebody wants them."""
    extras: dict[str, Any] = {}
    if wishes.temperature is not None and wishes.keeps(Tier.TEMPERATURE):
        extras["temperature"] = wishes.temperature
    if wishes.affective_dialog and known.has(Feature.AFFECTIVE_DIALOG) and wishes.keeps(Tier.AFFECTIVE_DIALOG):
        extras["enable_affective_dialog"] = True
    if wishes.proactive_silence and known.has(Feature.PROACTIVE_AUDIO) and wishes.keeps(Tier.PROACTIVE_AUDIO):
        extras["proactivity"] = types.ProactivityConfig(proactive_audio=True)
    if wishes.seeded and known.has(Feature.INITIAL_HISTORY):
        extras["history_config"] = types.HistoryConfig(initial_history_in_client_content=True)
    return extras


_DETECTION: Final = "realtime_input_config.automatic_activity_detection"
_WHERE: Final[Mapping[Tier, tuple[str, ...]]] = MappingProxyType(
    {
        Tier.VOCABULARY: ("input_audio_transcription.custom_vocabulary",),
        Tier.TEMPERATURE: ("temperature",),
        Tier.AFFECTIVE_DIALOG: ("enable_affective_dialog",),
        Tier.PROACTIVE_AUDIO: ("proactivity",),
        Tier.TOOL_BEHAVIOR: ("tools.function_declarations.behavior",),
        Tier.DETECTION: (
            f"{_DETECTION}.start_of_speech_sensitivity",
            f"{_DETECTION}.end_of_speech_sensitivity",
            f"{_DETECTION}.silence_duration_ms",
            f"{_DETECTION}.prefix_padding_ms",
        ),
        Tier.LANGUAGE: ("speech_config.language_code",),
        Tier.THINKING: ("thinking_config",),
        Tier.SEARCH: ("tools.google_search",),
        Tier.COMPRESSION_NUMBERS: ("context_window_compression.trigger_tokens",),
        Tier.TRANSCRIPTION: ("output_audio_transcription",),
        Tier.COMPRESSION: ("context_window_compression",),
    }
)


def present(config: types.LiveConnectConfig) -> frozenset[Tier]:
    """Return the optional parts that a set-up has: what can be left out should it be refused."""
    said = config.model_dump(exclude_none=True)
    return frozenset(tier for tier, paths in _WHERE.items() if any(_has(said, path.split(".")) for path in paths))


def _has(value: object, path: Sequence[str]) -> bool:
    if not path:
        return True
    if isinstance(value, list):
        return any(_has(item, path) for item in value)
    return isinstance(value, dict) and path[0] in value and _has(value[path[0]], path[1:])


def config_hash(settings: Live, model: str, declarations: Sequence[ToolDeclaration]) -> str:
    """Name the part of a set-up that a session cannot change when it is resumed, or should not."""
    kept = [model.removeprefix("models/"), settings.instruction, *sorted(tool.name for tool in declarations)]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:16]
