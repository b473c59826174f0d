"""The set-up message of a Live link, as google-genai wants it. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from google.genai import types

from appliance.config.schema import LiveSettings
from appliance.core.state import Mode
from appliance.live.model_capabilities import Capabilities, Feature, capabilities
from appliance.live.ports import GOOGLE_SEARCH, UNLOCKED, Locks, OptionalFeature, Request, ToolBehavior, ToolDeclaration


def live_config(
    settings: LiveSettings,
    model: str,
    request: Request,
    declarations: Sequence[ToolDeclaration],
    locks: Locks = UNLOCKED,
) -> types.LiveConnectConfig:
    """Return what is asked of the service for one link: of what the settings wish, what the model has and takes.

    What the token fixes is not asked for, and tools that it does not allow are not offered.
    """
    asked = _Asked(settings, request, capabilities(model), locks)
    transcribed = settings.transcripts and asked.keeps(OptionalFeature.TRANSCRIPTION)
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        speech_config=_speech(asked),
        thinking_config=_thinking(asked),
        system_instruction=settings.instruction,
        tools=_tools(declarations, asked),
        session_resumption=types.SessionResumptionConfig(handle=request.handle),
        input_audio_transcription=_heard(asked) if transcribed else None,
        output_audio_transcription=types.AudioTranscriptionConfig() if transcribed else None,
        realtime_input_config=types.RealtimeInputConfig(automatic_activity_detection=_detection(asked)),
        context_window_compression=_compression(asked),
        **_extras(asked),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What everything below depends on."""

    settings: LiveSettings
    request: Request
    known: Capabilities
    locks: Locks

    def keeps(self, tier: OptionalFeature) -> bool:
        """Return whether a part may be in the set-up."""
        return tier not in self.request.omitted_features

    def has(self, feature: Feature) -> bool:
        """Return whether the model has it."""
        return self.known.has(feature)


def _speech(asked: _Asked) -> types.SpeechConfig:
    named = asked.has(Feature.LANGUAGE_CODE) and asked.keeps(OptionalFeature.LANGUAGE) and asked.locks.language is None
    voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=asked.settings.voice))
    return types.SpeechConfig(
        voice_config=voice if asked.locks.voice is None else None,
        language_code=asked.settings.language if named else None,
    )


def _thinking(asked: _Asked) -> types.ThinkingConfig | None:
    wished = (asked.settings.thinking_level or "").upper()
    level = wished if wished in asked.known.thinking_levels else asked.known.thinking_level
    if level is None or not asked.keeps(OptionalFeature.THINKING):
        return None
    return types.ThinkingConfig(thinking_level=types.ThinkingLevel(level))


def _heard(asked: _Asked) -> types.AudioTranscriptionConfig:
    vocabulary = asked.settings.vocabulary
    helped = vocabulary and asked.has(Feature.VOCABULARY) and asked.keeps(OptionalFeature.VOCABULARY)
    return types.AudioTranscriptionConfig(custom_vocabulary=list(vocabulary) if helped else None)


def _detection(asked: _Asked) -> types.AutomaticActivityDetection:
    if asked.request.mode is Mode.PUSH_TO_TALK:
        return types.AutomaticActivityDetection(disabled=True)
    if not asked.keeps(OptionalFeature.DETECTION):
        return types.AutomaticActivityDetection(disabled=False)
    settings = asked.settings
    start, end = settings.start_sensitivity, settings.end_sensitivity
    return types.AutomaticActivityDetection(
        disabled=False,
        start_of_speech_sensitivity=types.StartSensitivity(f"START_SENSITIVITY_{start.upper()}") if start else None,
        end_of_speech_sensitivity=types.EndSensitivity(f"END_SENSITIVITY_{end.upper()}") if end else None,
        silence_duration_ms=settings.silence_ms,
        prefix_padding_ms=settings.padding_ms,
    )


def _compression(asked: _Asked) -> types.ContextWindowCompressionConfig | None:
    if not asked.keeps(OptionalFeature.COMPRESSION):
        return None
    if not asked.keeps(OptionalFeature.COMPRESSION_NUMBERS):
        return types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow())
    return types.ContextWindowCompressionConfig(
        trigger_tokens=asked.settings.compress_at_tokens,
        sliding_window=types.SlidingWindow(target_tokens=asked.settings.compress_to_tokens),
    )


def _tools(declarations: Sequence[ToolDeclaration], asked: _Asked) -> types.ToolListUnion | None:
    functions = [
        types.FunctionDeclaration(
            name=tool.name,
            description=tool.description,
            parameters_json_schema=dict(tool.parameters),
            behavior=_behavior(tool, asked),
        )
        for tool in declarations
        if _allows(asked.locks, tool.name)
    ]
    tools: types.ToolListUnion = []
    if functions:
        tools.append(types.Tool(function_declarations=functions))
    if asked.settings.google_search and asked.keeps(OptionalFeature.SEARCH) and _allows(asked.locks, GOOGLE_SEARCH):
        tools.append(types.Tool(google_search=types.GoogleSearch()))
    return tools or None


def _allows(locks: Locks, tool: str) -> bool:
    return locks.tools is None or tool in locks.tools


def _behavior(tool: ToolDeclaration, asked: _Asked) -> types.Behavior | None:
    """Return whether the model is to wait for the tool, where it may be told."""
    if not asked.keeps(OptionalFeature.TOOL_BEHAVIOR):
        return None
    if tool.behavior is ToolBehavior.NON_BLOCKING and asked.has(Feature.TOOL_SCHEDULING):
        return types.Behavior.NON_BLOCKING
    return types.Behavior(asked.known.tool_behavior) if asked.known.tool_behavior else None


def _extras(asked: _Asked) -> dict[str, Any]:
    """Return the fields that are mentioned only where somebody wants them."""
    extras: dict[str, Any] = {}
    settings = asked.settings
    if settings.temperature is not None and asked.keeps(OptionalFeature.TEMPERATURE):
        extras["temperature"] = settings.temperature
    if (
        settings.affective_dialog
        and asked.has(Feature.AFFECTIVE_DIALOG)
        and asked.keeps(OptionalFeature.AFFECTIVE_DIALOG)
    ):
        extras["enable_affective_dialog"] = True
    if settings.may_stay_silent and asked.has(Feature.PROACTIVE_AUDIO) and asked.keeps(OptionalFeature.PROACTIVE_AUDIO):
        extras["proactivity"] = types.ProactivityConfig(proactive_audio=True)
    if asked.request.seeded and asked.has(Feature.INITIAL_HISTORY):
        extras["history_config"] = types.HistoryConfig(initial_history_in_client_content=True)
    return extras


_DETECTION: Final = "realtime_input_config.automatic_activity_detection"
_WHERE: Final[Mapping[OptionalFeature, tuple[str, ...]]] = MappingProxyType(
    {
        OptionalFeature.VOCABULARY: ("input_audio_transcription.custom_vocabulary",),
        OptionalFeature.TEMPERATURE: ("temperature",),
        OptionalFeature.AFFECTIVE_DIALOG: ("enable_affective_dialog",),
        OptionalFeature.PROACTIVE_AUDIO: ("proactivity",),
        OptionalFeature.TOOL_BEHAVIOR: ("tools.function_declarations.behavior",),
        OptionalFeature.DETECTION: (
            f"{_DETECTION}.start_of_speech_sensitivity",
            f"{_DETECTION}.end_of_speech_sensitivity",
            f"{_DETECTION}.silence_duration_ms",
            f"{_DETECTION}.prefix_padding_ms",
        ),
        OptionalFeature.LANGUAGE: ("speech_config.language_code",),
        OptionalFeature.THINKING: ("thinking_config",),
        OptionalFeature.SEARCH: ("tools.google_search",),
        OptionalFeature.COMPRESSION_NUMBERS: ("context_window_compression.trigger_tokens",),
        OptionalFeature.TRANSCRIPTION: ("output_audio_transcription",),
        OptionalFeature.COMPRESSION: ("context_window_compression",),
    }
)


def present(config: types.LiveConnectConfig) -> frozenset[OptionalFeature]:
    """Return the optional parts that a set-up has: what can be left out should it be refused."""
    said = config.model_dump(exclude_none=True)
    return frozenset(tier for tier, paths in _WHERE.items() if any(_has(said, path.split(".")) for path in paths))


def _has(value: object, path: Sequence[str]) -> bool:
    if not path:
        return True
    if isinstance(value, list):
        return any(_has(item, path) for item in value)
    return isinstance(value, dict) and path[0] in value and _has(value[path[0]], path[1:])


def config_hash(settings: LiveSettings, model: str, declarations: Sequence[ToolDeclaration]) -> str:
    """Name the part of a set-up that a session cannot change when it is resumed, or should not."""
    kept = [model.removeprefix("models/"), settings.instruction, *sorted(tool.name for tool in declarations)]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:16]
