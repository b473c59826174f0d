"""A room around the virtual card: its microphone hears its speaker, and a person who speaks over the answers.

What is at the speaker is heard at the microphone `DELAY_S` later, and is written there at once: the thread that does so
may be held up for most of that time.
"""

import threading
from dataclasses import dataclass
from typing import Final

import numpy as np

from appliance.audio.worker.realtime import set_real_time
from appliance.simulator.room.acoustics import BLOCK, Acoustics
from appliance.simulator.room.room import Room, RoomOptions
from appliance.units import UPLINK, AudioFormat, Hz, Pcm, Seconds
from appliance.virtual_card.card import VirtualCard
from appliance.virtual_card.person import SimulatedPerson

DELAY_S: Final = 0.12
"""Delay of the speaker beyond the card's account."""
PPM: Final = 40.0
"""Drift of the speaker's clock against the microphone's, as with two ordinary crystals."""
FURNISHED: Final = Acoustics(rt60_s=0.3)
"""A living room with carpets and curtains: where it echoes more, the voice of the recordings is no safe wake word."""
PERSON_M: Final = 1.0
PERSON_DBFS: Final = -36.0
"""Level of the person at the microphone: 12 dB below a speaker at `_NEAR_M`."""
NEAREST_M: Final = 0.1
FARTHEST_M: Final = 5.0
_NEAR_M: Final = 0.3
"""The distance at which an answer has the level that `RoomOptions.echo_dbfs` says."""
_STEP_S: Final = 0.005
_PRIORITY: Final = 50
"""Below that of the threads that serve the card."""
_RESAMPLING_S: Final = 0.002
"""Audio that is played after a block and is needed to resample it."""


@dataclass(frozen=True, slots=True, eq=False)
class SpokenWords:
    """The words that the person said first."""

    words: Pcm
    """16 kHz mono, as spoken."""
    began_at: Seconds
    """When the microphone heard the first of them, by the computer's clock."""
    ceased_at: Seconds


class RoomLoop:
    """Carries sound from the card's speaker to its microphone. `run` has its own thread; read the rest after it.

    The card must not lose frames (`Jack.skip`) meanwhile.
    """

    def __init__(self, card: VirtualCard, distance_m: float, person: SimulatedPerson) -> None:
        """Begin now; the speaker's clock is `PPM` faster from now on."""
        self.said: list[SpokenWords] = []
        self.late = 0
        """Samples that may have been read before they were written, because the machine was busy."""
        self._microphone, self._speaker, self._person = card.microphone, card.speaker, person
        self._layout = AudioFormat(Hz(card.speaker.rate_hz))
        echo_dbfs = _echo_dbfs(distance_m)
        self._room = Room(
            RoomOptions(
                acoustics=FURNISHED,
                speaker_m=distance_m,
                person_m=PERSON_M,
                speaker=self._layout,
                ppm=PPM,
                delay_s=DELAY_S,
                echo_dbfs=echo_dbfs,
            )
        )
        self._over_echo_db = PERSON_DBFS - echo_dbfs
        card.speaker.drift(PPM)
        self._captured_from = card.microphone.now
        self._played_from = self._played_to = card.speaker.frame(self.begun_at)

    @property
    def asked(self) -> int:
        """Number of the first words that were questions, not spoken over an answer."""
        return self._person.asked

    def run(self, ended: threading.Event) -> None:
        """Carry sound until the event is set."""
        set_real_time(_PRIORITY)
        while not ended.wait(_STEP_S):
            self._step()

    @property
    def begun_at(self) -> Seconds:
        """When its first sample was at the microphone, by the computer's clock."""
        return self._time_of(0)

    def _time_of(self, sample: int) -> Seconds:
        return Seconds(self._microphone.time_of(self._captured_from + sample))

    def _step(self) -> None:
        """Take what the speaker plays, including what waits in its buffer, and write what of it is heard."""
        # Beyond what is written there is silence until now.
        end = max(self._speaker.written, self._speaker.now)
        played = self._speaker.played(self._played_to, end)
        rate_hz = self._speaker.rate_hz * (1 + PPM * 1e-6)
        self._room.played(played, Seconds((self._played_to - self._played_from) / rate_hz))
        self._played_to = end
        self._listen(played)
        until_s = (end - self._played_from) / rate_hz + DELAY_S - _RESAMPLING_S
        while (self._room.end + BLOCK) / UPLINK.rate_hz < until_s:
            self._write()

    def _listen(self, played: Pcm) -> None:
        duration_s = self._layout.duration(len(played))
        words = self._person.feed(played, duration_s, is_open=self._microphone.owner != 0)
        if words is not None:
            begin = self._room.say(words, over_echo_db=self._over_echo_db)
            self.said.append(SpokenWords(words, self._time_of(begin), self._time_of(begin + len(words))))

    def _write(self) -> None:
        at = self._captured_from + self._room.end
        block = self._room.capture(Seconds(self._room.end / UPLINK.rate_hz))
        self._microphone.put(at, block)
        if self._microphone.owner:
            self.late += max(0, min(self._microphone.now - at, BLOCK))


def _echo_dbfs(distance_m: float) -> float:
    """Return the level at the microphone of an answer from a speaker at a distance, reverberation included."""
    near, here = (float(np.sum(FURNISHED.response(metres, seed=0) ** 2)) for metres in (_NEAR_M, distance_m))
    return float(RoomOptions().echo_dbfs + 10 * np.log10(here / near))
