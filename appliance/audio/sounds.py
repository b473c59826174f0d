"""The sounds of our own: earcons and the spoken sentences that ship with the appliance."""

import wave
from functools import cache
from importlib.resources import files

import numpy as np

from appliance.audio.earcons import earcon
from appliance.core.effects import Earcon
from appliance.core.events import Trouble
from appliance.units import Pcm


class Sounds:
    """All of them; implements `conversation.Voice`."""

    def earcon(self, earcon_: Earcon) -> Pcm | None:
        """Return a short sound, 24 kHz mono."""
        return earcon(earcon_)

    def phrase(self, trouble: Trouble) -> Pcm | None:
        """Return a spoken sentence, 24 kHz mono."""
        return _phrase(trouble)


class PhrasesOnly(Sounds):
    """Without earcons: what a person must know is said all the same."""

    def earcon(self, earcon_: Earcon) -> Pcm | None:
        """Return None."""
        del earcon_


@cache
def _phrase(trouble: Trouble) -> Pcm:
    recording = files("appliance.audio") / "phrases" / f"{trouble.value}.wav"
    with recording.open("rb") as file, wave.open(file) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
