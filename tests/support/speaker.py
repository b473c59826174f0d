"""A speaker in the loop's own time, that remembers what it was given and when that is heard."""

import asyncio
import math

import numpy as np

from appliance.audio.playback.mixer import RingMixer
from appliance.audio.playback.playback import Playback
from appliance.audio.playback.reports import Reports
from appliance.audio.ports import PlaybackSink
from appliance.units import Pcm, Seconds

RATE = 24_000


class TimedSpeaker:
    """Pulls a period whenever its device buffer has room; sample n of ``heard`` sounds at ``begun_at + n / RATE``."""

    def __init__(self, frames: int = 240, latency_s: float = 0.03, prebuffer_s: float = 0.06) -> None:
        self._frames = frames
        self._latency_s = latency_s
        self._prebuffer_s = prebuffer_s
        self._periods: list[Pcm] = []
        self.begun_at = math.nan
        self._lost_at = math.inf

    async def run(self, playback: PlaybackSink) -> None:
        loop = asyncio.get_running_loop()
        pulls_from = loop.time()
        self.begun_at = pulls_from + self._latency_s
        mixer = RingMixer(playback.played, prebuffer_s=self._prebuffer_s)
        playback.connect(mixer, Seconds(self.begun_at))
        try:
            while True:
                ahead_s = len(self._periods) * self._frames / RATE
                await asyncio.sleep(pulls_from + ahead_s - loop.time())
                self._periods.append(mixer.pull(self._frames, Seconds(self.begun_at + ahead_s)))
                playback.heartbeat()
        finally:
            self._lost_at = loop.time()
            playback.disconnect()

    @property
    def heard(self) -> Pcm:
        """All samples so far, those in the device buffer included."""
        return np.concatenate(self._periods) if self._periods else np.zeros(0, np.int16)

    @property
    def sounded(self) -> Pcm:
        """Samples heard before the speaker was lost; those still in the device were not."""
        if not self._periods:
            return self.heard
        return self.heard[: max(0, round((self._lost_at - self.begun_at) * RATE))]

    def sample_of(self, moment: float) -> int:
        """Which sample sounds at a moment."""
        return round((moment - self.begun_at) * RATE)

    def at(self, sample: int) -> float:
        """When a sample sounds."""
        return self.begun_at + sample / RATE


class Plugged(Playback):
    """Playback with a mixer of its own, pulled by the test."""

    def __init__(self, reports: Reports | None = None, *, prebuffer_s: float = 0.06, **options: float) -> None:
        super().__init__(reports, **options)
        self.mixer = RingMixer(self.played, prebuffer_s=prebuffer_s)
        self.connect(self.mixer, Seconds(0.0))

    def pull(self, frames: int, audible_at: Seconds) -> Pcm:
        return self.mixer.pull(frames, audible_at)
