"""The speaker as a person hears it who stands in the room, and speaks. Pure."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from appliance.audio.resample import Resampler
from appliance.simulator.room.acoustics import heard
from appliance.simulator.room.levels import at_level
from appliance.units import UPLINK, AudioFormat, Pcm, SampleIndex
from appliance.virtual_card.room import DELAY_S, FURNISHED, PERSON_M

_SPEAKER_DBFS: Final = -24.0
_OWN_DBFS: Final = -22.0
"""One's own voice is a little louder."""
_SEED: Final = 17
_FULL_SCALE: Final = 32_768


def at_the_person(played: Pcm, layout: AudioFormat, words: Sequence[tuple[SampleIndex, Pcm]]) -> Pcm:
    """Return what the person hears, 16 kHz mono.

    Args:
        played: What the speaker played, with ``layout``.
        layout: Mono.
        words: What the person said, 16 kHz mono, and at which sample of the result it begins.
    """
    resampler = Resampler(layout, UPLINK.rate_hz)
    late: Pcm = np.zeros(UPLINK.frames(DELAY_S), np.int16)
    sound = np.concatenate((late, resampler.feed(played), resampler.finish())) / _FULL_SCALE
    mixed = at_level(heard(sound, FURNISHED.response(PERSON_M, _SEED)), UPLINK, _SPEAKER_DBFS)
    for start, said in words:
        begin = max(0, start)
        own = at_level(said / _FULL_SCALE, UPLINK, _OWN_DBFS)[begin - start :][: max(0, len(mixed) - begin)]
        mixed[begin : begin + len(own)] += own
    return np.rint(np.clip(mixed, -1, 1 - 1 / _FULL_SCALE) * _FULL_SCALE).astype(np.int16)
