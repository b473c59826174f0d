"""The set-up message of a Live link, as a google-genai config. Pure."""

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
    """Return the set-up of one link: the settings, as far as the model supports and accepts them.

    Fields that the token locks are omitted, as are tools that it does not allow.
    """
    wanted = _Wanted(settings, request, capabilities(model), locks)
    transcribed = settings.transcripts and wanted.includes(OptionalFeature.TRANSCRIPTION)
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        speech_config=_speech(wanted),
        thinking_config=_thinking(wanted),
        system_instruction=settings.instruction,
        tools=_tools(declarations, wanted),
        session_resumption=types.SessionResumptionConfig(handle=request.handle),
        input_audio_transcription=_input_transcription(wanted) if transcribed else None,
        output_audio_transcription=types.AudioTranscriptionConfig() if transcribed else None,
        realtime_input_config=types.RealtimeInputConfig(automatic_activity_detection=_detection(wanted)),
        context_window_compression=_compression(wanted),
        **_extras(wanted),
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The inputs of a set-up."""

    settings: LiveSettings
    request: Request
    capabilities: Capabilities
    locks: Locks

    def includes(self, feature: OptionalFeature) -> bool:
        """Return whether a feature may be in the set-up."""
        return feature not in self.request.omitted_features

    def supports(self, feature: Feature) -> bool:
        """Return whether the model supports a feature."""
        return self.capabilities.has(feature)

    def takes(self, feature: Feature, optional: OptionalFeature) -> bool:
        """Return whether the model supports a feature and has not been found to refuse it."""
        return self.supports(feature) and self.includes(optional)


def _speech(wanted: _Wanted) -> types.SpeechConfig:
    named = wanted.takes(Feature.LANGUAGE_CODE, OptionalFeature.LANGUAGE) and wanted.locks.language is None
    voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=wanted.settings.voice))
    return types.SpeechConfig(
        voice_config=voice if wanted.locks.voice is None else None,
        language_code=wanted.settings.language if named else None,
    )


def _thinking(wanted: _Wanted) -> types.ThinkingConfig | None:
    chosen = (wanted.settings.thinking_level or "").upper()
    level = chosen if chosen in wanted.capabilities.thinking_levels else wanted.capabilities.thinking_level
    if level is None or not wanted.includes(OptionalFeature.THINKING):
        return None
    return types.ThinkingConfig(thinking_level=types.ThinkingLevel(level))


def _input_transcription(wanted: _Wanted) -> types.AudioTranscriptionConfig:
    vocabulary = wanted.settings.vocabulary
    with_vocabulary = vocabulary and wanted.takes(Feature.VOCABULARY, OptionalFeature.VOCABULARY)
    return types.AudioTranscriptionConfig(custom_vocabulary=list(vocabulary) if with_vocabulary else None)


def _detection(wanted: _Wanted) -> types.AutomaticActivityDetection:
    if wanted.request.mode is Mode.PUSH_TO_TALK:
        return types.AutomaticActivityDetection(disabled=True)
    if not wanted.includes(OptionalFeature.DETECTION):
        return types.AutomaticActivityDetection(disabled=False)
    settings = wanted.settings
    start, end = settings.start_sensitivity, settings.end_sensitivity
    return types.AutomaticActivityDetection(
        disabled=False,
        start_of_speech_sensitivity=types.StartSensitivity(f"START_SENSITIVITY_{start.upper()}") if start else None,
        end_of_speech_sensitivity=types.EndSensitivity(f"END_SENSITIVITY_{end.upper()}") if end else None,
        silence_duration_ms=settings.silence_ms,
        prefix_padding_ms=settings.padding_ms,
    )


def _compression(wanted: _Wanted) -> types.ContextWindowCompressionConfig | None:
    if not wanted.includes(OptionalFeature.COMPRESSION):
        return None
    if not wanted.includes(OptionalFeature.COMPRESSION_NUMBERS):
        return types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow())
    return types.ContextWindowCompressionConfig(
        trigger_tokens=wanted.settings.compress_at_tokens,
        sliding_window=types.SlidingWindow(target_tokens=wanted.settings.compress_to_tokens),
    )


def _tools(declarations: Sequence[ToolDeclaration], wanted: _Wanted) -> types.ToolListUnion | None:
    functions = [
        types.FunctionDeclaration(
            name=tool.name,
            description=tool.description,
            parameters_json_schema=dict(tool.parameters),
            behavior=_behavior(tool, wanted),
        )
        for tool in declarations
        if _allows(wanted.locks, tool.name)
    ]
    tools: types.ToolListUnion = []
    if functions:
        tools.append(types.Tool(function_declarations=functions))
    if (
        wanted.settings.google_search
        and wanted.includes(OptionalFeature.SEARCH)
        and _allows(wanted.locks, GOOGLE_SEARCH)
    ):
        tools.append(types.Tool(google_search=types.GoogleSearch()))
    return tools or None


def _allows(locks: Locks, tool: str) -> bool:
    return locks.tools is None or tool in locks.tools


def _behavior(tool: ToolDeclaration, wanted: _Wanted) -> types.Behavior | None:
    """Return whether the model is to wait for the tool; None if the model leaves no choice."""
    if not wanted.includes(OptionalFeature.TOOL_BEHAVIOR):
        return None
    if tool.behavior is ToolBehavior.NON_BLOCKING and wanted.supports(Feature.TOOL_SCHEDULING):
        return types.Behavior.NON_BLOCKING
    return types.Behavior(wanted.capabilities.tool_behavior) if wanted.capabilities.tool_behavior else None


def _extras(wanted: _Wanted) -> dict[str, Any]:
    """Return the fields that are present only when they are used."""
    extras: dict[str, Any] = {}
    settings = wanted.settings
    if settings.temperature is not None and wanted.includes(OptionalFeature.TEMPERATURE):
        extras["temperature"] = settings.temperature
    if settings.affective_dialog and wanted.takes(Feature.AFFECTIVE_DIALOG, OptionalFeature.AFFECTIVE_DIALOG):
        extras["enable_affective_dialog"] = True
    if settings.may_stay_silent and wanted.takes(Feature.PROACTIVE_AUDIO, OptionalFeature.PROACTIVE_AUDIO):
        extras["proactivity"] = types.ProactivityConfig(proactive_audio=True)
    if wanted.request.seeded and wanted.supports(Feature.INITIAL_HISTORY):
        extras["history_config"] = types.HistoryConfig(initial_history_in_client_content=True)
    return extras


_DETECTION: Final = "realtime_input_config.automatic_activity_detection"
_PATHS: Final[Mapping[OptionalFeature, tuple[str, ...]]] = MappingProxyType(
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


def optional_features(config: types.LiveConnectConfig) -> frozenset[OptionalFeature]:
    """Return the optional features of a set-up, which can be omitted if it is refused."""
    fields = config.model_dump(exclude_none=True)
    return frozenset(one for one, paths in _PATHS.items() if any(_has(fields, path.split(".")) for path in paths))


def _has(value: object, path: Sequence[str]) -> bool:
    if not path:
        return True
    if isinstance(value, list):
        return any(_has(item, path) for item in value)
    return isinstance(value, dict) and path[0] in value and _has(value[path[0]], path[1:])


def config_hash(settings: LiveSettings, model: str, declarations: Sequence[ToolDeclaration]) -> str:
    """Return a hash of the set-up fields that a resumed session cannot or should not change."""
    kept = [model.removeprefix("models/"), settings.instruction, *sorted(tool.name for tool in declarations)]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:16]
