"""The whole audio worker on a virtual card whose speaker feeds its microphone."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import numpy as np
import pytest

from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.modes import Aec
from appliance.audio.worker import echo_thread
from appliance.audio.worker.messages import WorkerConfig
from appliance.audio.worker.supervisor import WorkerSupervisor
from appliance.units import Epoch, Pcm
from appliance.virtual_card.card import Hardware, VirtualCard
from tests.support.audio_engine import House, household
from tests.support.virtual_card import PlugIn

RATE = 48_000
DELAY_S = 0.1
GAIN = 0.2
TRIES = 6


@asynccontextmanager
async def coupled(card: VirtualCard) -> AsyncIterator[None]:
    """Let the microphone hear what the speaker plays, `DELAY_S` later."""

    async def feed() -> None:
        end = card.speaker.now
        while True:
            begin, end = end, card.speaker.now
            at = card.microphone.frame(card.speaker.time_of(begin) + DELAY_S)
            card.microphone.put(at, (GAIN * card.speaker.played(begin, end)).astype(np.int16))
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(feed())
        try:
            yield
        finally:
            task.cancel()


def speech() -> Pcm:
    """Return some seconds of it, 24 kHz."""
    voice = files("appliance.simulator").joinpath("voice", "sun.wav").read_bytes()
    return np.frombuffer(voice[44:], np.int16)


def power_db(samples: Pcm) -> float:
    return float(10 * np.log10(np.mean(samples.astype(np.float64) ** 2) + 1))


async def say(house: House, epoch: int) -> list[float]:
    """Play the speech; return the powers of both streams at the microphone meanwhile, in dB: clean, linear."""
    house.blocks.clear()
    house.drained.clear()
    await house.playback.write(Epoch(epoch), speech())
    house.playback.finish(Epoch(epoch))
    await house.until(lambda: house.drained)
    await asyncio.sleep(DELAY_S)
    streams = ([block.samples for block in house.blocks], [block.for_wake_word for block in house.blocks])
    return [power_db(np.concatenate(stream)) for stream in streams]


@pytest.mark.realtime
async def test_the_worker_takes_away_the_echo_of_its_own_speaker(plug_in: PlugIn):
    card = plug_in(microphone=Hardware(RATE), speaker=Hardware(RATE))
    engine = WorkerSupervisor(WorkerConfig("virtual_mic", "virtual_speaker", aec=Aec.WEBRTC))
    async with household(engine) as house, coupled(card):
        await house.hearing()
        echo_db = power_db(speech()) + 20 * np.log10(GAIN)
        for epoch in range(1, TRIES + 1):
            clean_db, linear_db = await say(house, epoch)
            if clean_db < echo_db - 15 and linear_db < echo_db - 10:
                break  # or the filter has still to learn, or the machine had no time for its card
        status = engine.echo
        starts = [block.start for block in house.blocks]
    assert linear_db < echo_db - 10
    assert clean_db < echo_db - 15
    assert starts == sorted(starts)
    assert status is not None
    assert status.state is CancellerState.CONVERGED
    assert status.delay_s is not None
    assert status.delay_s == pytest.approx(DELAY_S, abs=0.03)


@pytest.mark.realtime
async def test_without_a_suppressor_the_worker_delivers_what_it_captures(plug_in: PlugIn):
    plug_in()
    async with household(WorkerSupervisor(WorkerConfig("virtual_mic", "virtual_speaker", aec=Aec.OFF))) as house:
        await house.hearing()
        assert house.engine.echo is None
        assert house.blocks[0].linear is None


def test_a_suppressor_that_is_not_installed_costs_a_line(capsys: pytest.CaptureFixture[str], monkeypatch):
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    assert echo_thread.start(Aec.WEBRTC, lambda block: None) is None
    assert "pywebrtc-audio is not installed" in capsys.readouterr().err
