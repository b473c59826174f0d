"""Signals about the person, and their timing: voice activity or none, transcripts early, prompt, late or never."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from appliance.simulator.model.turn import TranscriptTiming
from appliance.simulator.options import VoiceActivity
from tests.simulator.inmemory import SETUP, Message, service, until
from tests.support.websocket import QUESTION

OLD = {**SETUP, "model": "models/gemini-3.1-flash-live-preview"}
"""A model that sends no voice activity."""


async def told(setup: Message = SETUP, **options: Any) -> list[str]:
    """The kinds of all that the service sends about one question."""

    async with service(**options) as running, running.open(setup) as session:
        await session.send(QUESTION)
        messages = await until(session, "turnComplete")
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(5):
                    messages.append(await session.receive())
    return [kind(message) for message in messages]


def kind(message: Message) -> str:
    return next(name for name in (message.get("serverContent") or message) if name != "usageMetadata")


@pytest.mark.parametrize(
    ("setup", "activity", "sent"),
    [
        (SETUP, VoiceActivity.BY_MODEL, True),
        (SETUP, VoiceActivity.UNSENT, False),
        (OLD, VoiceActivity.BY_MODEL, False),
        (OLD, VoiceActivity.SENT, True),
    ],
)
async def test_whether_the_person_is_heard_is_told_as_the_model_does_or_as_chosen(
    setup: Message, activity: VoiceActivity, sent: bool
):
    kinds = await told(setup, voice_activity=activity)
    assert kinds.count("voiceActivity") == (2 if sent else 0)
    assert "modelTurn" in kinds


@pytest.mark.parametrize(
    ("transcripts", "order"),
    [
        (
            TranscriptTiming.EARLY,
            ["voiceActivity", "inputTranscription", "voiceActivity", "inputTranscription", "modelTurn", "turnComplete"],
        ),
        (
            TranscriptTiming.PROMPT,
            ["voiceActivity", "voiceActivity", "inputTranscription", "inputTranscription", "modelTurn", "turnComplete"],
        ),
        (
            TranscriptTiming.LATE,
            ["voiceActivity", "voiceActivity", "modelTurn", "inputTranscription", "turnComplete", "inputTranscription"],
        ),
        (TranscriptTiming.NEVER, ["voiceActivity", "voiceActivity", "modelTurn", "turnComplete"]),
    ],
)
async def test_the_transcript_comes_when_it_is_to(transcripts: TranscriptTiming, order: list[str]):
    kinds = await told(transcripts=transcripts)
    seen = [one for one in kinds if one in order]
    first_audio = seen.index("modelTurn")
    assert [*seen[: first_audio + 1], *(one for one in seen[first_audio:] if one != "modelTurn")] == order
