"""Speech for `scripts/bench echo`: what the appliance says, and what people say over it."""

import wave
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np

from appliance.audio.resample import Resampler
from appliance.simulator.room.levels import at_level
from appliance.simulator.room.room import SPEECH_DBFS
from appliance.units import REPLY, UPLINK, AudioFormat, Hz, Pcm

RECORDINGS: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Real recordings beside the checkout; they are not part of the project."""
REPLY_S: Final = 6.0
WORDS_S: Final = 2.5
_PEAK: Final = 0.7
_FULL_SCALE: Final = 32_768
_SAYS: Final = range(13)
"""Numbers of the recordings whose people lend their voice to the appliance; the others speak over it."""


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """Replies of about `REPLY_S`, 24 kHz, and people's sentences of up to `WORDS_S`, 16 kHz; none begins in silence."""

    replies: tuple[Pcm, ...]
    words: tuple[Pcm, ...]
    question: Pcm
    television: Pcm


@cache
def speech() -> Speech:
    """Return real speech where there is some, else the simulator's voice."""
    voice = _simulated_voice()
    if not RECORDINGS.is_dir():
        shown = tuple(_trimmed(_at_rate(one, UPLINK.rate_hz), UPLINK, WORDS_S) for one in voice)
        return Speech(_replies(voice), shown, shown[-1], np.tile(shown[0], 4))
    ordinary = sorted((RECORDINGS / "ordinary").glob("common_voice_*.wav"))
    real = [read(path) for path in ordinary]
    says = [_at_rate(real[number], REPLY.rate_hz, UPLINK) for number in _SAYS]
    replies = [reply for pair in zip(_replies(says), cycle(_replies(voice)), strict=False) for reply in pair]
    others = [one for number, one in enumerate(real) if number not in _SAYS]
    spoken = (*others, read(RECORDINGS / "speech" / "jfk.wav"))
    question = _trimmed(_at_rate(voice[1], UPLINK.rate_hz), UPLINK, 1.2)
    words = tuple(_trimmed(one, UPLINK, WORDS_S) for one in spoken)
    return Speech(tuple(replies), words, question, read(RECORDINGS / "ordinary" / "meeting_06.wav"))


def read(path: Path) -> Pcm:
    """Return the samples of a mono 16-bit WAV file."""
    with wave.open(str(path), "rb") as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), np.int16)


def _simulated_voice() -> list[Pcm]:
    """Return the sentences of the simulated service, 24 kHz."""
    folder = files("appliance.simulator").joinpath("voice")
    return [read(Path(str(file))) for file in sorted(folder.iterdir(), key=lambda file: file.name)]


def _replies(sentences: list[Pcm]) -> tuple[Pcm, ...]:
    """Return as many replies as there are sentences, each of them and those that follow, at the level of a reply."""
    return tuple(
        _levelled(_trimmed(np.concatenate([*sentences[at:], *sentences[:at]]), REPLY, REPLY_S))
        for at in range(len(sentences))
    )


def _levelled(reply: Pcm) -> Pcm:
    loud = np.clip(at_level(reply / _FULL_SCALE, REPLY, SPEECH_DBFS), -_PEAK, _PEAK)
    return np.rint(loud * _FULL_SCALE).astype(np.int16)


def _trimmed(samples: Pcm, layout: AudioFormat, longest_s: float) -> Pcm:
    """Return speech from its first sound on."""
    frame = layout.frames(0.01)
    powers = np.mean(samples[: len(samples) // frame * frame].reshape(-1, frame).astype(np.float64) ** 2, axis=1)
    begin = int(np.argmax(powers > powers.max() * 10 ** (-25 / 10))) * frame
    return samples[begin : begin + layout.frames(longest_s)]


def _at_rate(samples: Pcm, rate_hz: Hz, source: AudioFormat = REPLY) -> Pcm:
    resampler = Resampler(source, rate_hz)
    return np.concatenate((resampler.feed(samples), resampler.finish()))


def in_turn(choices: tuple[Pcm, ...], count: int) -> list[Pcm]:
    """Return so many of them, from the beginning again after the last."""
    return list(islice(cycle(choices), count))
