"""The replies of the simulated model, and the default script."""

import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from appliance.errors import ExitCode, InputError
from appliance.units import REPLY, Pcm

VOICE: Final = Path(__file__).parents[1] / "voice"
"""Directory of the shipped recordings."""


@dataclass(frozen=True, slots=True)
class ToolStep:
    """A tool call before a reply."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """One turn of the model."""

    audio: Path | Pcm
    """A 24 kHz mono 16-bit WAV file, or samples; no samples: the model stays silent."""
    text: str = ""
    """The words of the audio, for the output transcription."""
    question: str = ""
    """The person's words, for the input transcription; empty: an ellipsis."""
    tool: ToolStep | None = None


DEFAULT_SCRIPT: Final = (
    Reply(
        audio=VOICE / "moon.wav",
        text=(
            "The moon is about three hundred and eighty thousand kilometres away. "
            "If you could drive there by car, day and night, you would be on the road for five months."
        ),
        question="How far away is the moon?",
    ),
    Reply(
        audio=VOICE / "sun.wav",
        text="The sun is about one hundred and fifty million kilometres away.",
        question="Stop. What about the sun?",
    ),
    Reply(
        audio=VOICE / "time.wav",
        text="It is exactly the time that your clock shows.",
        question="What time is it?",
        tool=ToolStep("get_time"),
    ),
    Reply(
        audio=VOICE / "umbrella.wav",
        text="I would take an umbrella today.",
        question="Will it rain?",
    ),
)
"""Repeated from the beginning after the last; ``scripts/render-recordings`` makes the recordings from the texts."""


def load(reply: Reply) -> Pcm:
    """Return the samples of a reply, 24 kHz mono.

    Raises:
        InputError: The file does not exist, or is not a 24 kHz mono 16-bit PCM WAV.
    """
    if not isinstance(reply.audio, Path):
        return reply.audio
    try:
        with wave.open(str(reply.audio), "rb") as file:
            shape = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            data = file.readframes(file.getnframes())
    except OSError as error:
        raise InputError(f"cannot read {reply.audio}: {error.strerror}", ExitCode.NO_INPUT) from error
    except (wave.Error, EOFError) as error:
        raise InputError(f"{reply.audio} is not a WAV file: {str(error) or 'it ends early'}") from error
    if shape != (REPLY.rate_hz, REPLY.channels, 2):
        raise InputError(
            f"{reply.audio} must be 24 kHz mono 16-bit, not {shape[0]} Hz, {shape[1]} channels, {shape[2] * 8}-bit"
        )
    whole = data[: len(data) // 2 * 2]  # a truncated file may end inside a sample
    return np.frombuffer(whole, dtype="<i2").astype(np.int16)
