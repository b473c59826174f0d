"""Speech that a conversation did not let through: said while an answer played, it belongs to no span. Pure."""

from collections.abc import Sequence
from typing import Final

from appliance.audio.level import measure
from appliance.demo.expected_uplink import Span
from appliance.live.session.voice_activity import Loudness, VoiceActivityDetector
from appliance.units import UPLINK, Pcm, Seconds

_FRAME_S: Final = Seconds(0.02)
_FRAME: Final = UPLINK.frames(_FRAME_S)
_WORDS: Final = Loudness(spoken_s=0.0, pause_s=0.1)
"""Short pauses within a word are a part of it."""


def unsent_speech_s(microphone: Pcm, conversations: Sequence[Span], accounted: Sequence[Span]) -> Seconds:
    """Return for how long somebody spoke, by loudness, within ``conversations`` and outside of ``accounted``.

    Args:
        microphone: All samples, 16 kHz mono; index 0 is the stream's first sample.
        conversations: From the wake word to the state of rest.
        accounted: Owed to the service, or the wake word itself. The speaker's own sound, where the microphone hears it,
            is taken for speech.
    """
    voice, frames = VoiceActivityDetector(_WORDS), 0
    for start in range(0, len(microphone) - _FRAME + 1, _FRAME):
        voice.feed(measure(microphone[start : start + _FRAME]).rms, _FRAME_S)
        middle = start + _FRAME // 2
        if _within(middle, conversations) and not _within(middle, accounted):
            frames += voice.speaks and voice.since_s is not None
    return Seconds(round(frames * _FRAME_S, 2))


def _within(index: int, spans: Sequence[Span]) -> bool:
    return any(start <= index < stop for start, stop in spans)
