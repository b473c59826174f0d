"""Sound cards: which one is meant, what is said where none is, and what the callbacks do.

The cards here are made of Python and called as sounddevice calls; the real library is asked too, where it is installed.
"""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.audio.portaudio import (
    Device,
    Direction,
    PortAudioMicrophone,
    PortAudioSpeaker,
    list_devices,
    load_library,
    resolve,
)
from appliance.audio.ports import Block
from appliance.errors import DeviceError, MicrophoneError, SpeakerError
from appliance.units import AudioFormat, Hz, Pcm, SampleIndex, Seconds
from tests.audio.tones import tone
from tests.clock import run_virtual

USB = Device(1, "USB Microphone: Audio (hw:1,0)", 1, 0)
WEBCAM = Device(2, "Webcam: USB Audio (hw:2,0)", 2, 0)
JACK = Device(0, "bcm2835 Headphones: - (hw:0,0)", 0, 8)
CARDS = (JACK, USB, WEBCAM)


class Failure(Exception):  # noqa: N818
    """Stands for PortAudioError."""


class Stream:
    """One direction of a card: `call` does what PortAudio's thread does, once a period."""

    def __init__(self, card: "Cards", settings: dict[str, Any]) -> None:
        self.card = card
        self.settings = settings
        self.active = False
        self.log: list[str] = []
        self.latency = 0.04

    def start(self) -> None:
        if self.card.start_fails:
            raise Failure("Device unavailable [PaErrorCode -9985]")
        self.active = True
        self.log.append("start")

    def abort(self) -> None:
        self.active = False
        self.log.append("abort")

    def close(self) -> None:
        self.log.append("close")

    def call(self, content: Any, **times: float) -> None:
        frames = len(content) // 2 // self.settings["channels"]
        self.settings["callback"](content, frames, SimpleNamespace(**times), 0)


class Cards:
    """What the module sounddevice offers, with these cards, that take these formats only."""

    PortAudioError = Failure

    def __init__(self, *formats: tuple[int, int], devices: tuple[Device, ...] = CARDS) -> None:
        self.formats = formats
        self.devices = devices
        self.later: tuple[Device, ...] | None = None
        self.start_fails = False
        self.streams: list[Stream] = []

    def query_devices(self, device: int | None = None, kind: str | None = None) -> Any:
        entries = [
            {
                "index": found.index,
                "name": found.name,
                "max_input_channels": found.inputs,
                "max_output_channels": found.outputs,
            }
            for found in self.devices
        ]
        if kind is None:
            return entries
        usable = [entry for entry in entries if entry[f"max_{kind}_channels"]]
        if not usable:
            raise Failure("Error querying device -1")
        return usable[0]

    def check_input_settings(self, **settings: Any) -> None:
        if (settings["samplerate"], settings["channels"]) not in self.formats:
            raise Failure("Invalid sample rate [PaErrorCode -9997]")

    check_output_settings = check_input_settings

    def RawInputStream(self, **settings: Any) -> Stream:  # noqa: N802
        self.streams.append(Stream(self, settings))
        return self.streams[-1]

    RawOutputStream = RawInputStream

    def _terminate(self) -> None:
        self.devices = ()

    def _initialize(self) -> None:
        self.devices = self.later or CARDS


# Which one is meant.


def test_an_exact_name_wins_over_a_part_of_another():
    other = Device(7, "USB Microphone: Audio (hw:1,0) Pro", 1, 0)
    assert resolve(USB.name, Direction.INPUT, (other, USB), None) is USB


def test_a_part_that_one_device_has_is_enough_in_any_case():
    assert resolve("webcam", Direction.INPUT, CARDS, None) is WEBCAM
    assert resolve("hw:0,0", Direction.OUTPUT, CARDS, None) is JACK


def test_no_name_means_the_default():
    assert resolve("", Direction.INPUT, CARDS, WEBCAM) is WEBCAM


@pytest.mark.parametrize(
    ("wanted", "direction", "devices", "says"),
    [
        (
            "usb",
            Direction.INPUT,
            CARDS,
            '"usb" fits more than one microphone: set microphone.device to one of "USB Mic',
        ),
        ("Jabra", Direction.INPUT, CARDS, 'no microphone is called "Jabra": set microphone.device to one of "USB Mic'),
        ("USB Mic", Direction.OUTPUT, CARDS, 'no speaker is called "USB Mic": set speaker.device to one of "bcm2835'),
        ("", Direction.INPUT, CARDS, "the system has no default microphone: set microphone.device to one of"),
        ("", Direction.OUTPUT, (USB,), "no speaker is there: plug one in"),
        ("USB", Direction.INPUT, (), "no microphone is there: plug one in"),
    ],
)
def test_anything_else_says_what_there_is_and_never_falls_back(wanted, direction, devices, says):
    with pytest.raises(direction.error) as caught:
        resolve(wanted, direction, devices, None)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_a_device_that_came_later_is_found_without_a_new_process():
    library = Cards((16_000, 1), devices=())
    assert PortAudioMicrophone("USB Mic", library).check()[0] == USB


# Which format.


@pytest.mark.parametrize(
    ("formats", "chosen"),
    [
        ([(16_000, 1), (48_000, 1)], (16_000, 1)),
        ([(16_000, 2), (48_000, 1)], (16_000, 2)),
        ([(44_100, 2), (48_000, 2)], (48_000, 2)),
        ([(44_100, 2)], (44_100, 2)),
    ],
)
def test_the_nearest_format_that_the_card_takes_is_used(formats, chosen):
    _, layout = PortAudioMicrophone("USB Mic", Cards(*formats)).check()
    assert layout == AudioFormat(Hz(chosen[0]), chosen[1])


def test_a_card_that_takes_nothing_usable_says_so():
    with pytest.raises(SpeakerError, match="takes no usable format, or another program has it: Invalid sample rate"):
        PortAudioSpeaker("", Cards((96_000, 2))).check()


def test_a_card_that_does_not_start_is_closed_and_named():
    library = Cards((16_000, 1))
    library.start_fails = True

    async def main():
        with pytest.raises(MicrophoneError, match=r"USB Microphone.*cannot be started: Device unavailable"):
            await PortAudioMicrophone("USB Mic", library).run(print)

    run_virtual(main)
    assert library.streams[0].log == ["abort", "close"]


# The microphone.


async def captured(microphone: PortAudioMicrophone, library: Cards, feed: Callable[[Stream], Any]) -> list[Block]:
    """Run the microphone, let ``feed`` act as its card, and stop it."""
    blocks: list[Block] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(microphone.run(blocks.append))
        await asyncio.sleep(0)
        await feed(library.streams[-1])
        await asyncio.sleep(0)
        task.cancel()
    assert library.streams[-1].log == ["start", "abort", "close"]
    return blocks


def joined(blocks: list[Block]) -> Pcm:
    return np.concatenate([block.samples for block in blocks])


async def speak(stream: Stream, frames: Pcm, age_s: float = 0.025, period: int | None = None) -> None:
    """Deliver frames, shape (frames, channels), period by period; a period's first sample is ``age_s`` old."""
    period = period or stream.settings["blocksize"]
    for at in range(0, len(frames), period):
        await asyncio.sleep(period / stream.settings["samplerate"])
        stream.call(frames[at : at + period].tobytes(), currentTime=5e8 + age_s, inputBufferAdcTime=5e8)


def test_native_audio_passes_untouched_with_its_moments():
    library, voice = Cards((16_000, 1)), tone(16_000, 0.5)

    async def main():
        begun_at = asyncio.get_running_loop().time()
        blocks = await captured(PortAudioMicrophone("USB Mic", library), library, lambda s: speak(s, voice[:, None]))
        assert np.array_equal(joined(blocks), voice)
        assert [block.start for block in blocks] == list(range(0, 8_000, 320))
        for number, block in enumerate(blocks):
            assert block.captured_at == pytest.approx(begun_at + 0.02 * (number + 1) - 0.005, abs=1e-6)

    run_virtual(main)


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (48_000, 2), (44_100, 2)])
def test_other_rates_and_stereo_are_converted_with_true_moments(rate, channels):
    library, voice = Cards((rate, channels)), tone(rate, 0.9)
    frames = np.repeat(voice[:, None], channels, axis=1)

    async def main():
        begun_at = asyncio.get_running_loop().time()
        blocks = await captured(PortAudioMicrophone("USB Mic", library), library, lambda s: speak(s, frames))
        heard = joined(blocks)
        assert len(heard) > 16_000 * 0.85
        assert np.abs(heard[200:].astype(int) - tone(16_000, 0.9)[200 : len(heard)]).max() < 30
        for block in blocks:
            truth = begun_at - 0.005 + (block.start + len(block.samples)) / 16_000
            assert block.captured_at == pytest.approx(truth, abs=1e-4)

    run_virtual(main)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_lost_samples_are_a_jump_of_the_index(rate):
    library = Cards((rate, 1))
    period = rate // 50

    async def feed(stream: Stream) -> None:
        await speak(stream, np.ones((period * 10, 1), np.int16))
        await asyncio.sleep(0.1)
        await speak(stream, np.ones((period * 10, 1), np.int16))

    async def main():
        blocks = await captured(PortAudioMicrophone("USB Mic", library), library, feed)
        ends = [block.start + len(block.samples) for block in blocks]
        jumps = [block.start - end for block, end in zip(blocks[1:], ends, strict=False) if block.start != end]
        assert jumps == [1_600]

    run_virtual(main)


def test_late_callbacks_with_true_moments_lose_nothing():
    library = Cards((16_000, 1))

    async def feed(stream: Stream) -> None:
        for _ in range(5):  # three periods late, then all at once
            await asyncio.sleep(0.06)
            for behind in (2, 1, 0):
                age_s = 0.02 * (behind + 1)
                stream.call(bytes(640), currentTime=9.0, inputBufferAdcTime=9.0 - age_s)

    async def main():
        blocks = await captured(PortAudioMicrophone("USB Mic", library), library, feed)
        assert [block.start for block in blocks] == list(range(0, 4_800, 320))

    run_virtual(main)


def test_drivers_without_moments_are_taken_at_the_time_of_the_call():
    library = Cards((16_000, 1))

    async def feed(stream: Stream) -> None:
        for _ in range(3):
            await asyncio.sleep(0.5)
            stream.call(bytes(640), currentTime=1.8e9, inputBufferAdcTime=0.0)

    async def main():
        begun_at = asyncio.get_running_loop().time()
        blocks = await captured(PortAudioMicrophone("USB Mic", library), library, feed)
        assert [block.start for block in blocks] == [0, 320, 640]
        assert [block.captured_at - begun_at for block in blocks] == pytest.approx([0.5, 1.0, 1.5])

    run_virtual(main)


def test_the_time_between_two_runs_is_a_jump_too():
    library = Cards((16_000, 1))
    microphone = PortAudioMicrophone("USB Mic", library)

    async def main():
        first = await captured(microphone, library, lambda s: speak(s, np.ones((640, 1), np.int16)))
        await asyncio.sleep(3)
        second = await captured(microphone, library, lambda s: speak(s, np.ones((640, 1), np.int16)))
        assert first[-1].start + len(first[-1].samples) == 640
        assert second[0].start == SampleIndex(640 + 3 * 16_000)

    run_virtual(main)


def test_nothing_is_delivered_after_the_end_of_a_run():
    library = Cards((16_000, 1))

    async def feed(stream: Stream) -> None:
        stream.call(bytes(640), currentTime=1.0, inputBufferAdcTime=0.98)  # on its way when the task is cancelled

    async def main():
        blocks: list[Block] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await PortAudioMicrophone("USB Mic", library).run(blocks.append)
        await feed(library.streams[-1])
        await asyncio.sleep(1)
        assert not blocks

    run_virtual(main)


@pytest.mark.parametrize("adapter", [PortAudioMicrophone, PortAudioSpeaker])
def test_a_card_that_stops_calling_has_failed(adapter):
    library = Cards((16_000, 1), (24_000, 1))
    running = adapter("", library)

    async def main():
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        with pytest.raises(DeviceError, match="has stopped: check its plug"):
            await running.run(Numbers())
        assert 1.0 < loop.time() - begun_at < 1.5

    run_virtual(main)
    assert library.streams[0].log == ["start", "abort", "close"]


def test_a_stream_that_ends_by_itself_has_failed_at_once():
    library = Cards((16_000, 1))

    async def feed(stream: Stream) -> None:
        stream.active = False
        await asyncio.sleep(0.3)

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            await captured(PortAudioMicrophone("USB Mic", library), library, feed)
        assert isinstance(caught.value.exceptions[0], MicrophoneError)

    run_virtual(main)


# The speaker.


class Numbers:
    """A source of a long tone that remembers what was asked of it; a listener, too."""

    def __init__(self) -> None:
        self.audio = tone(24_000, 10.0)
        self.pulled = 0
        self.asked: list[tuple[int, int, float]] = []

    def __call__(self, _block: Block) -> None: ...

    def pull(self, frames: int, audible_at: Seconds) -> Pcm:
        self.asked.append((self.pulled, frames, audible_at))
        self.pulled += frames
        return self.audio[self.pulled - frames : self.pulled]


async def played(library: Cards, source: Any, periods: int, ahead_s: float = 0.03) -> bytes:
    """Run the speaker for some periods of its card; return what the card was given."""
    content = b""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(PortAudioSpeaker("", library).run(source))
        await asyncio.sleep(0)
        stream = library.streams[-1]
        frames, channels = stream.settings["blocksize"], stream.settings["channels"]
        for _ in range(periods):
            period = bytearray(frames * channels * 2)
            stream.call(memoryview(period), currentTime=7.0, outputBufferDacTime=7.0 + ahead_s)
            content += period
            await asyncio.sleep(frames / stream.settings["samplerate"])
        task.cancel()
    return content


@pytest.mark.parametrize(("rate", "channels"), [(24_000, 1), (24_000, 2), (48_000, 2), (44_100, 1)])
def test_the_card_gets_the_tone_at_its_rate_on_all_channels(rate, channels):
    library, source = Cards((rate, channels)), Numbers()

    async def main():
        begun_at = asyncio.get_running_loop().time()
        content = await played(library, source, 50)
        frames = np.frombuffer(content, np.int16).reshape(-1, channels)
        assert all(np.array_equal(frames[:, 0], frames[:, channel]) for channel in range(channels))
        expected = tone(rate, 0.5)
        assert np.abs(frames[200:-200, 0].astype(int) - expected[200 : len(frames) - 200]).max() < 30
        # A sample's moment is that of its place in what the card was given, whatever was pulled ahead.
        for begin, _, audible_at in source.asked:
            assert audible_at == pytest.approx(begun_at + 0.03 + begin / 24_000, abs=1e-4)
        assert source.pulled / 24_000 < len(frames) / rate + 0.035

    run_virtual(main)


def test_a_driver_without_moments_is_taken_to_be_its_latency_away():
    library, source = Cards((24_000, 1)), Numbers()

    async def main():
        begun_at = asyncio.get_running_loop().time()
        await played(library, source, 1, ahead_s=-7.0)
        assert source.asked[0][2] == pytest.approx(begun_at + 0.04)

    run_virtual(main)


def test_a_failure_on_the_speakers_thread_is_silence_and_then_raised_on_the_loop():
    class Broken:
        def pull(self, frames: int, audible_at: Seconds) -> Pcm:
            raise ZeroDivisionError

    library = Cards((24_000, 1))

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            await played(library, Broken(), 50)
        assert isinstance(caught.value.exceptions[0], ZeroDivisionError)

    run_virtual(main)


# The real library.


def test_the_real_library_without_cards_says_what_to_do():
    try:
        cards = list_devices(load_library())
    except DeviceError:
        pytest.skip("sounddevice or PortAudio is not installed")
    if cards:
        pytest.skip("this machine has sound cards")
    with pytest.raises(MicrophoneError, match="no microphone is there: plug one in"):
        PortAudioMicrophone().check()
    with pytest.raises(SpeakerError, match="no speaker is there"):
        PortAudioSpeaker("USB").check()
