"""A playback that runs, with or without a speaker, and the log of its reports."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from appliance.audio.playback.fade import Fade
from appliance.audio.playback.playback import Playback
from appliance.audio.playback.reports import Reports
from appliance.units import REPLY, Epoch, Pcm, Seconds
from tests.support.speaker import Plugged, TimedSpeaker

OLD, NEW = Epoch(1), Epoch(2)
FADE = Fade(REPLY.rate_hz).length
EXACT = 1e-6


def level(count: int, value: int = 10_000) -> Pcm:
    return np.full(count, value, np.int16)


def pull(playback: Plugged, frames: int = 240) -> Pcm:
    return playback.pull(frames, Seconds(0.0))


@dataclass
class ReportLog:
    """Everything that was reported, with the moment of the report."""

    audible: list[tuple[Any, ...]] = field(default_factory=list)
    drained: list[tuple[Any, ...]] = field(default_factory=list)
    stalled: list[tuple[Any, ...]] = field(default_factory=list)
    silent: list[tuple[Any, ...]] = field(default_factory=list)

    def reports(self) -> Reports:
        now = asyncio.get_running_loop().time
        return Reports(
            on_audible=lambda epoch, at: self.audible.append((epoch, at, now())),
            on_drained=lambda epoch: self.drained.append((epoch, now())),
            on_stalled=lambda epoch: self.stalled.append((epoch, now())),
            on_silent=lambda at: self.silent.append((at, now())),
        )


@asynccontextmanager
async def running(playback: Playback, speaker: TimedSpeaker | None = None):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(playback.run())]
        if speaker is not None:
            tasks.append(group.create_task(speaker.run(playback)))
        await asyncio.sleep(0)
        yield
        for task in tasks:
            task.cancel()
