"""Cards as they are sold: whatever their rates, channels and formats, a voice is heard and an answer is played."""

import asyncio
import os

import numpy as np
import pytest

from appliance.audio.cards.alsa import Availability, definition, probe
from appliance.audio.cards.devices import Direction, PcmDevice
from appliance.audio.cards.hardware import Hardware as Facts
from appliance.audio.cards.hardware import layouts
from appliance.audio.worker.messages import WorkerConfig
from appliance.audio.worker.supervisor import WorkerSupervisor
from appliance.units import AudioFormat, Epoch, Hz, Pcm
from appliance.virtual_card.card import RING, Fault, Hardware, Sample, VirtualCard
from tests.audio.tones import tone
from tests.support.audio_engine import household
from tests.support.virtual_card import PlugIn

pytestmark = pytest.mark.realtime

RATE = 24_000
PEAK = 8_000
HZ = 440
TRIES = 8

MICROPHONES = {
    "USB, 48 kHz stereo": Hardware(48_000, (2, 2)),
    "USB, 44.1 kHz mono": Hardware(44_100, (1, 1)),
    "USB, 24 bits": Hardware(48_000, (2, 2), Sample.S24_3LE),
    "I2S, 32 bits": Hardware(48_000, (2, 2), Sample.S32_LE),
    "I2S, 24 bits in four bytes": Hardware(48_000, (2, 2), Sample.S24_LE),
    "four microphones": Hardware(16_000, (4, 4)),
    "six channels": Hardware(16_000, (6, 6)),
    "eight channels, 32 bits": Hardware(48_000, (8, 8), Sample.S32_LE),
    "8 kHz": Hardware(8_000, (1, 1)),
    "22.05 kHz": Hardware(22_050, (1, 1)),
    "24 kHz": Hardware(24_000, (1, 1)),
    "32 kHz": Hardware(32_000, (1, 1)),
    "a rate that nobody else has": Hardware(37_500, (1, 2)),
    "96 kHz": Hardware(96_000, (2, 2)),
    "192 kHz": Hardware(192_000, (2, 2), Sample.S32_LE),
}
SPEAKERS = {
    "speakerphone, 16 kHz stereo": Hardware(16_000, (2, 2)),
    "16 kHz, 24 bits": Hardware(16_000, (2, 2), Sample.S24_3LE),
    "8 kHz": Hardware(8_000, (1, 1)),
    "32 kHz": Hardware(32_000, (2, 2)),
    "44.1 kHz, 32 bits": Hardware(44_100, (2, 2), Sample.S32_LE),
    "48 kHz mono": Hardware(48_000, (1, 1)),
    "I2S, 24 bits in four bytes": Hardware(48_000, (2, 2), Sample.S24_LE),
    "96 kHz": Hardware(96_000, (2, 2)),
    "192 kHz": Hardware(192_000, (2, 2), Sample.S32_LE),
    "eight channels": Hardware(48_000, (8, 8), Sample.S32_LE),
    "a Raspberry Pi's HDMI": Hardware(48_000, (2, 8), Sample.IEC958_SUBFRAME_LE),
}
USUAL = {"USB, 48 kHz stereo", "six channels", "speakerphone, 16 kHz stereo", "a Raspberry Pi's HDMI"}


def kinds(hardware: dict[str, Hardware]) -> list[object]:
    """Return parameters: a few always run, the others in the slow run."""
    return [
        pytest.param(one, id=name, marks=() if name in USUAL else pytest.mark.slow) for name, one in hardware.items()
    ]


def loudness(samples: Pcm, rate_hz: int) -> float:
    """Return the amplitude of 440 Hz in the last half of what was heard or played."""
    late = samples[len(samples) // 2 :].astype(float)
    wave = np.exp(-2j * np.pi * HZ * np.arange(len(late)) / rate_hz)
    return float(2 * np.abs((late * wave).mean()))


def say(card: VirtualCard, channel: int | None = None) -> None:
    """Let the microphone hear a tone without end."""
    turns = round(HZ * RING / card.microphone.rate_hz)
    card.microphone.fill((PEAK * np.sin(2 * np.pi * turns * np.arange(RING) / RING)).astype(np.int16), channel)


async def heard(card: VirtualCard, wanted: WorkerConfig) -> float:
    """Run the engine until half a second was heard without a gap; return how loud it was."""

    async with household(WorkerSupervisor(wanted)) as house:
        for _ in range(TRIES):
            house.blocks.clear()
            xruns = card.microphone.xruns
            await house.until(lambda: house.errors or sum(len(block.samples) for block in house.blocks) > 8_000)
            assert not house.errors
            if card.microphone.xruns == xruns:  # or the machine had no time for its card
                break
        result = np.concatenate([block.samples for block in house.blocks])
    return loudness(result, 16_000)


async def played(card: VirtualCard, device: str) -> Pcm:
    """Play a tone of half a second; return what the speaker's two channels played of it."""

    async with household(WorkerSupervisor(WorkerConfig("virtual_mic", device))) as house:
        await house.hearing()
        for epoch in range(1, TRIES + 1):
            xruns, begun_at = card.speaker.xruns, house.now
            await house.playback.write(Epoch(epoch), tone(RATE, 0.5, peak=PEAK))
            house.playback.finish(Epoch(epoch))
            await house.until(lambda: house.drained or house.errors)
            house.drained.clear()
            assert not house.errors
            await asyncio.sleep(0.05)
            if card.speaker.xruns == xruns:  # or the machine had no time for its card
                break
        frames = card.speaker.channels(card.speaker.frame(begun_at), card.speaker.now)
    loud = np.flatnonzero(frames[:, 0])
    return frames[loud[0] : loud[-1] + 1]


WANTED = WorkerConfig("virtual_mic", "virtual_speaker")


@pytest.mark.parametrize("hardware", kinds(MICROPHONES))
async def test_a_microphone_of_any_kind_is_heard(plug_in: PlugIn, hardware: Hardware):
    card = plug_in(microphone=hardware)
    say(card)
    assert await heard(card, WANTED) == pytest.approx(PEAK, rel=0.05)


@pytest.mark.parametrize("hardware", kinds(SPEAKERS))
async def test_a_speaker_of_any_kind_plays_all_of_an_answer_on_all_of_its_channels(plug_in: PlugIn, hardware: Hardware):
    frames = await played(plug_in(speaker=hardware), "virtual_speaker")
    assert len(frames) / hardware.rate_hz == pytest.approx(0.5, abs=0.02)
    assert loudness(frames[:, 0], hardware.rate_hz) == pytest.approx(PEAK, rel=0.1)
    if hardware.channels[0] > 1:
        assert np.array_equal(frames[:, 0], frames[:, 1])
    # Converters are the worker's alone.
    assert "memfd" not in os.environ["ALSA_CONFIG_PATH"]
    assert probe("appliance_speaker", Direction.OUTPUT).availability is Availability.ABSENT


@pytest.mark.parametrize(
    "hardware", kinds({"USB, 48 kHz stereo": Hardware(48_000, (2, 2)), "six": MICROPHONES["six channels"]})
)
async def test_a_voice_on_the_second_channel_is_heard(plug_in: PlugIn, hardware: Hardware):
    card = plug_in(microphone=hardware)
    say(card, channel=2)
    assert await heard(card, WANTED) == pytest.approx(PEAK / 2, rel=0.05)


@pytest.mark.parametrize(
    ("channel", "level"),
    [pytest.param(1, 0.0, marks=pytest.mark.slow), (2, PEAK), pytest.param(4, PEAK, marks=pytest.mark.slow)],
)
async def test_a_channel_can_be_chosen(plug_in: PlugIn, channel: int, level: float):
    card = plug_in(microphone=Hardware(16_000, (4, 4)))
    say(card, channel=2)
    wanted = WorkerConfig("virtual_mic", "virtual_speaker", channel=channel)
    assert await heard(card, wanted) == pytest.approx(level, abs=PEAK / 20)


async def test_a_channel_that_a_card_does_not_have_is_told(plug_in: PlugIn):
    plug_in(microphone=Hardware(16_000, (2, 2)))

    says = "the microphone virtual_mic: microphone.channel: it has no channel 3, only 2"
    async with household(WorkerSupervisor(WorkerConfig("virtual_mic", "virtual_speaker", channel=3))) as house:
        await house.until(lambda: house.errors)
        result = house.errors[0]
    assert result == says


async def test_a_card_in_a_format_of_its_own_works_beside_one_in_another(plug_in: PlugIn):
    card = plug_in(
        microphone=Hardware(48_000, (2, 2), Sample.S24_LE), speaker=Hardware(48_000, (2, 8), Sample.IEC958_SUBFRAME_LE)
    )
    say(card)
    assert await heard(card, WANTED) == pytest.approx(PEAK, rel=0.05)
    assert loudness((await played(card, "virtual_speaker"))[:, 0], 48_000) == pytest.approx(PEAK, rel=0.1)


async def test_a_card_with_a_converter_may_come_later_and_go_and_come_back(plug_in: PlugIn):
    card = plug_in(speaker=SPEAKERS["a Raspberry Pi's HDMI"])
    card.speaker.fail(Fault.ABSENT)

    async with household(WorkerSupervisor(WANTED)) as house:
        await house.hearing()
        await house.until(lambda: house.errors)
        for fault in (Fault.DISCONNECTED, Fault.FINE):
            card.speaker.fail(Fault.FINE)
            await house.until(lambda: house.engine.speaker.ready)
            card.speaker.fail(fault)
            if fault is not Fault.FINE:
                await house.until(lambda: not house.engine.speaker.ready)
        await house.playback.write(Epoch(1), tone(RATE, 0.2, peak=PEAK))
        house.playback.finish(Epoch(1))
        await house.until(lambda: house.drained)


HDMI = PcmDevice("hw:CARD=vc4hdmi1,DEV=0", "(hw:3,0)", "vc4hdmi1 (vc4-hdmi-1)")
BY_ALSA = PcmDevice("hdmi:CARD=vc4hdmi1", "hdmi:CARD=vc4hdmi1", "hdmi:CARD=vc4hdmi1")


@pytest.mark.parametrize(
    ("target", "sample", "says"),
    [
        (
            HDMI,
            Sample.IEC958_SUBFRAME_LE,
            'type iec958 slave { pcm "hw:CARD=vc4hdmi1,DEV=0" format IEC958_SUBFRAME_LE }',
        ),
        (HDMI, Sample.S24_LE, 'type plug slave { pcm "hw:CARD=vc4hdmi1,DEV=0" rate 48000 channels 2 }'),
        (HDMI, Sample.S16_LE, None),
        (HDMI, Sample.S24_3LE, None),
        (BY_ALSA, Sample.S16_LE, 'type plug slave { pcm "hdmi:CARD=vc4hdmi1" rate 48000 channels 2 }'),
        (PcmDevice("a", "a", "a"), Sample.S16_LE, None),
    ],
)
def test_a_converter_stands_before_the_card_that_is_meant_and_before_no_other(target, sample, says):
    made = definition(target, Facts({}, frozenset({sample.name})), AudioFormat(Hz(48_000), 2))
    assert (made is None) if says is None else (made is not None and says in made)


async def test_a_pcm_whose_name_takes_arguments_works_as_alsa_has_it(plug_in: PlugIn):
    card = plug_in(speaker=Hardware(48_000, (2, 2)))
    card.configure(
        "pcm.television { @args [ CARD ] @args.CARD { type string } type empty slave.pcm virtual_speaker }\n"
    )
    assert loudness((await played(card, "television:CARD=vc4hdmi0"))[:, 0], 48_000) == pytest.approx(PEAK, rel=0.1)


# What is tried, and in which order.


def facts(*layouts: tuple[int, int, int]) -> Facts:
    return Facts({rate_hz: (fewest, most) for rate_hz, fewest, most in layouts}, frozenset({"S16_LE"}))


@pytest.mark.parametrize(
    ("direction", "there", "order"),
    [
        (Direction.INPUT, [(48_000, 1, 2), (16_000, 1, 2)], [(16_000, 1), (48_000, 1)]),
        (Direction.INPUT, [(8_000, 1, 1), (44_100, 2, 2), (37_500, 1, 1)], [(44_100, 2), (37_500, 1), (8_000, 1)]),
        (Direction.INPUT, [(16_000, 2, 2), (48_000, 1, 2)], [(16_000, 2), (48_000, 1)]),
        (Direction.OUTPUT, [(16_000, 2, 2), (48_000, 2, 2)], [(48_000, 2), (16_000, 2)]),
        (Direction.OUTPUT, [(24_000, 1, 2), (48_000, 8, 8)], [(24_000, 1), (48_000, 8)]),
        (Direction.OUTPUT, [], []),
    ],
)
def test_what_needs_the_least_conversion_is_tried_first(direction, there, order):
    assert [(one.rate_hz, one.channels) for one in layouts(facts(*there), direction)] == order


def test_rates_without_the_wanted_channel_are_not_tried():
    there = facts((16_000, 1, 1), (48_000, 1, 2))
    assert [(one.rate_hz, one.channels) for one in layouts(there, Direction.INPUT, channel=2)] == [(48_000, 2)]
