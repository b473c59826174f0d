"""The sounds of our own: earcons and the spoken sentences that ship with the appliance."""

import wave
from functools import cache
from importlib.resources import files

import numpy as np

from appliance.audio.sounds import earcons
from appliance.core.effects import Earcon
from appliance.core.events import Fault, Trouble
from appliance.units import Pcm


class Sounds:
    """All of them; implements `conversation.Voice`."""

    def earcon(self, earcon: Earcon) -> Pcm | None:
        """Return a short sound, 24 kHz mono."""
        return earcons.earcon(earcon)

    def phrase(self, trouble: Trouble | Fault) -> Pcm | None:
        """Return a spoken sentence, 24 kHz mono."""
        return _phrase(trouble)


class PhrasesOnly(Sounds):
    """Without earcons: what a person must know is said all the same."""

    def earcon(self, earcon: Earcon) -> None:
        """Return none."""


@cache
def _phrase(trouble: Trouble | Fault) -> Pcm:
    recording = files("appliance.audio") / "phrases" / f"{trouble.value}.wav"
    with recording.open("rb") as file, wave.open(file) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
