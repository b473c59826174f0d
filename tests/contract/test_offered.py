"""`docs/features.md` names all that the SDK can say to the Live API and be told by it, what is left out included."""

import re
from pathlib import Path

import pytest
from google.genai import live, types
from pydantic import BaseModel

FEATURES = (Path(__file__).resolve().parents[2] / "docs" / "features.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([a-z][a-z_]+)`", FEATURES)) | set(re.findall(r"`auth_tokens\.([a-z_]+)`", FEATURES))
OFFERED: tuple[type[BaseModel], ...] = (
    types.LiveConnectConfig,
    types.SpeechConfig,
    types.VoiceConfig,
    types.AudioTranscriptionConfig,
    types.RealtimeInputConfig,
    types.AutomaticActivityDetection,
    types.ProactivityConfig,
    types.SessionResumptionConfig,
    types.ContextWindowCompressionConfig,
    types.HistoryConfig,
    types.ThinkingConfig,
    types.Tool,
    types.FunctionDeclaration,
    types.FunctionResponse,
    types.LiveClientRealtimeInput,
    types.LiveServerMessage,
    types.LiveServerSetupComplete,
    types.LiveServerContent,
    types.Transcription,
    types.LiveServerSessionResumptionUpdate,
    types.LiveServerGoAway,
    types.VoiceActivity,
    types.CreateAuthTokenConfig,
    types.LiveConnectConstraints,
)


@pytest.mark.parametrize("model", OFFERED, ids=lambda model: str(model.__name__))
def test_every_field_is_named(model: type[BaseModel]):
    assert set(model.model_fields) - NAMED == set()


def test_every_call_of_a_session_is_named():
    calls = {name for name in dir(live.AsyncSession) if not name.startswith("_")} - {"session_id", "setup_complete"}
    assert calls - NAMED == set()
