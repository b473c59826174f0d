"""The set-up message of a Live link, as google-genai wants it. Pure."""

from collections.abc import Sequence
from typing import Final

from google.genai import types

from appliance.core.state import Mode
from appliance.live.capabilities import capabilities
from appliance.live.ports import ToolDeclaration
from appliance.settings import Live

COMPRESSION_TRIGGER_TOKENS: Final = 25_000
"""About a quarter of an hour of talk. Every turn is billed for the whole context, so the service's own limit of 104,000
would never cap the cost (ai.google.dev, Live API, session management)."""
COMPRESSION_TARGET_TOKENS: Final = 12_000


def live_config(
    settings: Live, model: str, mode: Mode, handle: str | None, declarations: Sequence[ToolDeclaration]
) -> types.LiveConnectConfig:
    """Return what is asked of the service for one link; with ``handle``, to go on with that session."""
    known = capabilities(model)
    transcription = types.AudioTranscriptionConfig() if settings.transcripts else None
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        speech_config=types.SpeechConfig(
            voice_config=types.VoiceConfig(
                prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=settings.voice),
            ),
            language_code=settings.language,
        ),
        thinking_config=(
            types.ThinkingConfig(thinking_level=types.ThinkingLevel(known.thinking_level))
            if known.thinking_level
            else None
        ),
        system_instruction=settings.instruction,
        tools=_tools(declarations, known.tool_behavior),
        session_resumption=types.SessionResumptionConfig(handle=handle),
        input_audio_transcription=transcription,
        output_audio_transcription=transcription,
        realtime_input_config=types.RealtimeInputConfig(
            automatic_activity_detection=types.AutomaticActivityDetection(disabled=mode is Mode.PUSH_TO_TALK),
        ),
        context_window_compression=types.ContextWindowCompressionConfig(
            trigger_tokens=COMPRESSION_TRIGGER_TOKENS,
            sliding_window=types.SlidingWindow(target_tokens=COMPRESSION_TARGET_TOKENS),
        ),
    )


def _tools(declarations: Sequence[ToolDeclaration], behavior: str | None) -> types.ToolListUnion | None:
    if not declarations:
        return None
    return [
        types.Tool(
            function_declarations=[
                types.FunctionDeclaration(
                    name=tool.name,
                    description=tool.description,
                    parameters_json_schema=dict(tool.parameters),
                    behavior=types.Behavior(behavior) if behavior else None,
                )
                for tool in declarations
            ]
        )
    ]
