"""The devices in a simulated room: what is played is heard, at its time."""

import asyncio

import numpy as np
import pytest

from appliance.audio.ports import Block, Mixer, PlayedPeriod
from appliance.simulator.room.devices import RoomMicrophone, RoomSpeaker
from appliance.simulator.room.room import Room, RoomOptions
from appliance.units import Pcm, Seconds


class Playback:
    """Plays a second of noise as soon as there is a mixer."""

    def __init__(self) -> None:
        self.periods: list[PlayedPeriod] = []

    def connect(self, mixer: Mixer, audible_at: Seconds) -> None:
        mixer.queue(np.random.default_rng(1).integers(-5_000, 5_000, 24_000, dtype=np.int16))
        mixer.complete()

    def played(self, period: PlayedPeriod) -> None:
        self.periods.append(period)

    def heartbeat(self) -> None:
        pass

    def disconnect(self) -> None:
        pass


class Recorded:
    """Passes everything on, and remembers it."""

    def __init__(self) -> None:
        self.reference: list[tuple[float, Pcm]] = []
        self.blocks: list[Block] = []

    def played(self, samples: Pcm, audible_at: Seconds) -> None:
        self.reference.append((audible_at, samples))

    def captured(self, block: Block) -> list[Block]:
        self.blocks.append(block)
        return [block]


@pytest.mark.parametrize("ppm", [0.0, 200.0])
async def test_what_is_played_is_heard_when_the_speaker_says_and_the_room_adds(ppm: float):
    room = Room(RoomOptions(noise_dbfs=-100, delay_s=0.1, ppm=ppm))
    path, playback, delivered = Recorded(), Playback(), list[Block]()
    async with asyncio.TaskGroup() as tasks:
        speaker = tasks.create_task(RoomSpeaker(room, path).run(playback))
        microphone = tasks.create_task(RoomMicrophone(room, path).run(delivered.append))
        await asyncio.sleep(2.0)
        speaker.cancel()
        microphone.cancel()
    assert delivered == path.blocks
    heard = np.concatenate([block.samples for block in delivered])
    assert len(heard) == pytest.approx(2.0 * 16_000, abs=320)
    begun_at = delivered[0].captured_at - 0.01
    onset_at = begun_at + int(np.argmax(np.abs(heard.astype(np.int32)) > 300)) / 16_000
    assert onset_at - playback.periods[0].audible_at == pytest.approx(0.1 + 0.3 / 343, abs=0.01)
    gaps = np.diff([audible_at for audible_at, _ in path.reference])
    assert np.allclose(gaps, 0.01 / (1 + ppm * 1e-6))
