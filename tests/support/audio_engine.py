"""The audio engine in a small daemon, on the virtual card."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np

from appliance.audio.playback.playback import Playback
from appliance.audio.playback.reports import Reports
from appliance.audio.ports import Block
from appliance.audio.worker.messages import WorkerConfig
from appliance.audio.worker.supervisor import WorkerSupervisor
from appliance.errors import DeviceError
from appliance.units import Epoch, Pcm, Seconds
from appliance.virtual_card.card import Jack

LAP = 27_000
"""Number of samples after which `counting` begins again."""
PATIENCE_S = 20.0
"""Time limit for anything awaited: many times as long as it takes."""


class House:
    """Records the microphone's blocks, the devices' errors and the reports of playback."""

    def __init__(self, engine: WorkerSupervisor) -> None:
        self.engine = engine
        self.blocks: list[Block] = []
        self.errors: list[str] = []
        self.silent: list[Seconds] = []
        self.drained: dict[Epoch, float] = {}
        """When each reply was reported as drained."""
        self.playback = Playback(Reports(on_silent=self.silent.append, on_drained=self._on_drained))

    def errors_of(self, jack: str) -> list[str]:
        """Return the errors of one device: on a busy machine the other may be late to start, and say so."""
        return [error for error in self.errors if f"the {jack} " in error]

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def _on_drained(self, epoch: Epoch) -> None:
        self.drained[epoch] = self.now

    async def until(self, condition: Callable[[], object]) -> float:
        """Wait for it; return how long that took."""
        begun_at = self.now
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.005)
        return self.now - begun_at

    async def hearing(self) -> float:
        """Wait until the microphone delivers a block; return how long that took."""
        count = len(self.blocks)
        return await self.until(lambda: len(self.blocks) > count)

    async def playing(self) -> None:
        """Wait until a period of a reply has been played: on a busy machine the speaker may be late to start."""
        count = self.playback.counts.played
        await self.until(lambda: self.playback.counts.played > count)

    async def attend(self, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await run()
            except DeviceError as error:
                self.errors.append(str(error))
            await asyncio.sleep(0.05)


@asynccontextmanager
async def household(engine: WorkerSupervisor | None = None) -> AsyncIterator[House]:
    """Run the engine and all that needs it."""
    house = House(engine or WorkerSupervisor(WorkerConfig("virtual_mic", "virtual_speaker")))
    async with asyncio.TaskGroup() as group:
        works = [
            house.engine.run(),
            house.attend(lambda: house.engine.microphone.run(house.blocks.append)),
            house.attend(lambda: house.engine.speaker.run(house.playback)),
            house.playback.run(),
        ]
        tasks = [group.create_task(work) for work in works]
        try:
            yield house
        finally:
            for task in tasks:
                task.cancel()


def counting(count: int, start: int = 0) -> Pcm:
    """Loud samples that tell their position."""
    return ((np.arange(start, start + count) % LAP) + 5_000).astype(np.int16)


def sounded(speaker: Jack, since: float) -> Pcm:
    """Return all that a speaker played from a moment on, without the silence before it."""
    samples = speaker.played(speaker.frame(since), speaker.now)
    loud = np.flatnonzero(samples)
    return samples[loud[0] :] if len(loud) else samples[:0]


def runs(samples: Pcm) -> list[tuple[int, int]]:
    """Return the runs of `counting` in what was heard: the first and the last number of each."""
    loud = samples.astype(int)
    step = np.diff(loud)
    following = (step == 1) | (step == 1 - LAP)
    edges = np.flatnonzero(~following)
    found, begin = [], 0
    for edge in [*edges, len(loud) - 1]:
        if edge - begin > 200:
            found.append((int(loud[begin]) - 5_000, int(loud[edge]) - 5_000))
        begin = edge + 1
    return found
