"""A room with a loudspeaker next to a microphone, a television further away, and people who speak.

Its clock is the microphone's. It depends on no event loop: whoever plays and captures says when. The same calls with
the same options give the same samples. One thread.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.simulator.room.acoustics import BLOCK, Acoustics, Response, Reverberation, Sound, heard
from appliance.simulator.room.levels import at_level
from appliance.simulator.room.loudspeaker import Loudspeaker
from appliance.units import REPLY, UPLINK, AudioFormat, Pcm, SampleIndex, Seconds

SPEECH_DBFS: Final = -22.0
"""Level of the simulated service's voice, at full volume."""
_FULL_SCALE: Final = 32_768


@dataclass(frozen=True, slots=True)
class RoomOptions:
    """Everything about a room; the defaults are a speaker 30 cm from the microphone, and nobody."""

    acoustics: Acoustics = field(default_factory=Acoustics)
    speaker_m: float = 0.3
    person_m: float = 2.0
    television_m: float = 3.5
    speaker: AudioFormat = REPLY
    """Mono, at the rate of what is played."""
    ppm: float = 0.0
    """Drift of the speaker's clock against the microphone's, in parts in a million."""
    delay_s: float = 0.12
    """Delay of the speaker beyond its driver's account."""
    clips_at: float = 0.8
    """Amplitude that the loudspeaker cannot exceed, 1 being full scale."""
    echo_dbfs: float = -24.0
    """Level at the microphone of speech that is played with `SPEECH_DBFS`."""
    noise_dbfs: float = -65.0
    television_dbfs: float = -50.0
    seed: int = 1


class Room:
    """A room in which the microphone hears the speaker, with everything else."""

    def __init__(self, options: RoomOptions | None = None, television: Pcm | None = None) -> None:
        """``television`` is 16 kHz mono, and repeated."""
        self.options = options or RoomOptions()
        self.end = SampleIndex(0)
        """Number of samples captured."""
        self._random = np.random.default_rng(self.options.seed)
        self._noise = 10 ** (self.options.noise_dbfs / 20)
        self._loudspeaker = Loudspeaker(
            self.options.speaker, self.options.ppm, self.options.delay_s, self.options.clips_at
        )
        response = self._response(self.options.speaker_m, 0)
        response *= 10 ** ((self.options.echo_dbfs - SPEECH_DBFS) / 20) / np.sqrt(np.sum(response**2))
        self._reverberation = Reverberation(response)
        self._voices: list[tuple[int, Sound]] = []
        self._voices_heard = 0
        self._television: Sound = np.zeros(BLOCK)
        if television is not None:
            whole = (television[: len(television) // BLOCK * BLOCK]) / _FULL_SCALE
            far = heard(whole, self._response(self.options.television_m, 1))
            self._television = at_level(far, UPLINK, self.options.television_dbfs)

    # What happens in it

    def say(self, words: Pcm, *, over_echo_db: float, after_s: float = 0.0) -> SampleIndex:
        """Let a person speak, 16 kHz mono, after a delay; return the sample at which they begin.

        ``over_echo_db`` is the speech-to-echo ratio at the microphone: the level of the person, reverberation
        included, over that of a reply at full volume. Each time from another place.
        """
        begin = SampleIndex(self.end + UPLINK.frames(after_s))
        self._voices_heard += 1
        response = self._response(self.options.person_m, 1 + self._voices_heard)
        whole = np.concatenate((words / _FULL_SCALE, np.zeros(len(response))))
        level = self.options.echo_dbfs + over_echo_db
        self._voices.append((begin, at_level(heard(whole, response), UPLINK, level)))
        return begin

    def jump(self, later_s: float) -> None:
        """Make the speaker sound later from now on, as after an underrun; negative: earlier."""
        self._loudspeaker.delay_s += later_s

    # Its devices

    def played(self, frames: Pcm, audible_at: Seconds) -> None:
        """Play mono frames at the speaker's rate, the first of which its driver believes to be heard at a time.

        Frames follow one another without a gap, silence included, and are played before they are heard.
        """
        self._loudspeaker.played(frames, audible_at)

    def capture(self, begin: Seconds) -> Pcm:
        """Return the next 10 ms at the microphone, 16 kHz mono; they begin at a time, 10 ms after the last."""
        captured = self._reverberation.feed(self._loudspeaker.heard(begin))
        captured += self._noise * self._random.standard_normal(BLOCK)
        at = self.end % len(self._television)
        captured += self._television[at : at + BLOCK]
        for start, voice in self._voices:
            first = max(0, start - self.end)
            piece = voice[max(0, self.end - start) :][: max(0, BLOCK - first)]
            captured[first : first + len(piece)] += piece
        self.end = SampleIndex(self.end + BLOCK)
        self._voices = [(start, voice) for start, voice in self._voices if start + len(voice) > self.end]
        return np.rint(np.clip(captured, -1, 1 - 1 / _FULL_SCALE) * _FULL_SCALE).astype(np.int16)

    def feed(self, frames: Pcm) -> Pcm:
        """Play 10 ms, and return the 10 ms that are captured while they are being heard by the driver's account.

        For callers without a clock, and speakers without ``ppm``, whose frames would soon be too few or too many.
        """
        begin = Seconds(self.end / UPLINK.rate_hz)
        self.played(frames, begin)
        return self.capture(begin)

    def _response(self, distance_m: float, place: int) -> Response:
        return self.options.acoustics.response(distance_m, 1000 * self.options.seed + place)
