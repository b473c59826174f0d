"""Plays the chime and a spoken answer through the configured cards, and records them. Loop thread only."""

import asyncio
import wave
from importlib.resources import files
from typing import Final

import numpy as np

from appliance import app
from appliance.audio.playback.playback import Playback
from appliance.audio.playback.reports import Reports
from appliance.audio.ports import Block
from appliance.audio.sounds import make_earcon
from appliance.config.devices import AlsaMicrophoneSettings, AlsaSpeakerSettings
from appliance.config.schema import Settings
from appliance.core.effects import Earcon
from appliance.doctor.loop import LONGEST_S, LoopRecording
from appliance.errors import DeviceError, ExitCode, InputError
from appliance.units import REPLY, UPLINK, Epoch, Pcm, Seconds

TIMEOUT_S: Final = 60.0
"""Longest time for all of it; it takes a quarter."""
_QUIET_S: Final = 1.5
"""Silence before the sound, which shows the noise."""
_GAP_S: Final = 0.3
_TAIL_S: Final = LONGEST_S + 0.5


def loop_sound() -> Pcm:
    """Return the chime and an answer, one of the simulated service, 24 kHz mono."""
    with (files("appliance.simulator") / "voice" / "moon.wav").open("rb") as file, wave.open(file) as reader:
        words = np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
    sound: Pcm = np.concatenate((make_earcon(Earcon.WAKE), np.zeros(REPLY.frames(_GAP_S), np.int16), words))
    return sound


def cards_of(settings: Settings) -> tuple[str, str]:
    """Return the names of microphone and speaker; raises InputError where the settings name a file instead."""
    microphone, speaker = settings.microphone, settings.speaker
    if not isinstance(microphone, AlsaMicrophoneSettings) or not isinstance(speaker, AlsaSpeakerSettings):
        raise InputError("the settings name a file instead of a sound card", ExitCode.UNFIT)
    return microphone.device, speaker.device


async def record(settings: Settings) -> LoopRecording:
    """Play and record, as loud as the daemon plays, with nothing taken away from the echo.

    Raises:
        DeviceError: A card cannot be opened, or has stopped.
    """
    tape, drained = _Tape(), asyncio.Event()
    reports = Reports(on_played=tape.played, on_drained=lambda _: drained.set())
    playback = Playback(reports, volume=settings.speaker.volume)
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            app.cards_alone(settings) as (microphone, speaker),
            asyncio.TaskGroup() as group,
        ):
            tasks = [
                group.create_task(run) for run in (microphone.run(tape.captured), speaker.run(playback), playback.run())
            ]
            await tape.begun.wait()
            await asyncio.sleep(_QUIET_S)
            await playback.write(Epoch(1), loop_sound())
            playback.finish(Epoch(1))
            await drained.wait()
            await asyncio.sleep(_TAIL_S)
            for task in tasks:
                task.cancel()
    except TimeoutError:
        raise DeviceError(f"microphone and speaker did not do their work within {TIMEOUT_S:.0f} s") from None
    return tape.recording(settings.speaker.volume)


class _Tape:
    """Both directions, by sample counts: times waver, and only their medians are used."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._blocks: list[Block] = []
        self._pieces: list[Pcm] = []
        self._played = 0
        self._first_audible: list[float] = []
        """When the first frame was heard, by each piece's account."""

    def captured(self, block: Block) -> None:
        """Keep a block."""
        self._blocks.append(block)
        self.begun.set()

    def played(self, audible_at: Seconds, samples: Pcm) -> None:
        """Keep what is played, before the volume."""
        self._first_audible.append(audible_at - REPLY.duration(self._played))
        self._pieces.append(samples)
        self._played += len(samples)

    def recording(self, volume: float) -> LoopRecording:
        """Return both from the microphone's first sample on."""
        first = self._blocks[0].start
        captured: Pcm = np.zeros(self._blocks[-1].start + len(self._blocks[-1].samples) - first, np.int16)
        begun = []
        for block in self._blocks:
            at = block.start - first
            captured[at : at + len(block.samples)] = block.samples  # lost samples stay silent
            begun.append(block.captured_at - UPLINK.duration(at + len(block.samples)))
        before_s = float(np.median(self._first_audible) - np.median(begun))
        sound = np.rint(np.concatenate(self._pieces) * volume).astype(np.int16)
        played: Pcm = np.concatenate((np.zeros(max(0, REPLY.frames(before_s)), np.int16), sound))
        return LoopRecording(played, captured)
