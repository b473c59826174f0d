"""A speaker in the loop's own time, that remembers what it was given and when that is heard."""

import asyncio
import math

import numpy as np

from appliance.audio.ports import PeriodSource
from appliance.units import Pcm, Seconds

RATE = 24_000


class TimedSpeaker:
    """Pulls a period whenever its device buffer has room; sample n of ``heard`` sounds at ``begun_at + n / RATE``."""

    def __init__(self, frames: int = 240, latency_s: float = 0.03) -> None:
        self._frames = frames
        self._latency_s = latency_s
        self._periods: list[Pcm] = []
        self.begun_at = math.nan

    async def run(self, source: PeriodSource) -> None:
        loop = asyncio.get_running_loop()
        pulls_from = loop.time()
        self.begun_at = pulls_from + self._latency_s
        while True:
            ahead_s = len(self._periods) * self._frames / RATE
            await asyncio.sleep(pulls_from + ahead_s - loop.time())
            self._periods.append(source.pull(self._frames, Seconds(self.begun_at + ahead_s)).copy())

    @property
    def heard(self) -> Pcm:
        """All samples so far, those in the device buffer included."""
        return np.concatenate(self._periods) if self._periods else np.zeros(0, np.int16)

    def at(self, sample: int) -> float:
        """When a sample sounds."""
        return self.begun_at + sample / RATE
