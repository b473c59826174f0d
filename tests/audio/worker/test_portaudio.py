"""Streams of PortAudio, called as sounddevice calls them: which formats, which moments, and what a failure leaves."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from appliance.audio.cards.devices import Direction, PcmDevice
from appliance.audio.cards.hardware import Hardware, layouts
from appliance.audio.worker.portaudio import CaptureStream, PlaybackStream, PortAudio, StreamSettings
from appliance.errors import MicrophoneError, SpeakerError
from appliance.units import AudioFormat, Pcm, Seconds

USB = PcmDevice("hw:CARD=Device,DEV=0", "(hw:1,0)", "Device (USB PnP)")
IN, OUT = Direction.INPUT, Direction.OUTPUT


class Failure(Exception):  # noqa: N818
    """Stands for PortAudioError."""


class Stream:
    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.latency = 0.02
        self.log: list[str] = []

    def start(self) -> None:
        self.log.append("start")

    def abort(self, ignore_errors: bool) -> None:
        self.log.append("abort")

    def close(self, ignore_errors: bool) -> None:
        self.log.append("close")

    def call(self, content: Any, status: int = 0, **moments: float) -> None:
        frames = len(content) // 2 // self.settings["channels"]
        self.settings["callback"](content, frames, SimpleNamespace(**moments), status)


class Library:
    """Stands for the module sounddevice, with one card that takes these formats only."""

    PortAudioError = Failure
    _libname = "/nonexistent"

    def __init__(self, *formats: tuple[int, int], name: str = "USB PnP: Audio (hw:1,0)") -> None:
        self.formats = formats
        self.name = name
        self.streams: list[Stream] = []

    def query_devices(self) -> list[dict[str, Any]]:
        other = {"name": "HDMI (hw:0,0)", "max_input_channels": 0, "max_output_channels": 8}
        return [other, {"name": self.name, "max_input_channels": 1, "max_output_channels": 2}]

    def check_input_settings(self, **settings: Any) -> None:
        if (settings["samplerate"], settings["channels"]) not in self.formats:
            raise Failure("Invalid sample rate [PaErrorCode -9997]")

    check_output_settings = check_input_settings

    def RawInputStream(self, **settings: Any) -> Stream:  # noqa: N802
        self.streams.append(Stream(**settings))
        return self.streams[-1]

    RawOutputStream = RawInputStream


class Taken:
    """Periods of a capture stream."""

    def __init__(self) -> None:
        self.periods: list[tuple[bytes, Seconds | None, Seconds]] = []

    def make(self, layout: AudioFormat) -> Any:
        self.layout = layout
        return lambda *period: self.periods.append(period)


def settings(direction: Direction, *formats: tuple[int, int]) -> StreamSettings:
    """The card, as ALSA reports it."""
    hardware = Hardware({rate_hz: (channels, channels) for rate_hz, channels in formats}, frozenset({"S16_LE"}))
    return StreamSettings(USB, [*layouts(hardware, direction)])


def capture(*formats: tuple[int, int]) -> tuple[CaptureStream, Stream, Taken]:
    library, taken = Library(*formats), Taken()
    stream = CaptureStream(PortAudio(library), settings(Direction.INPUT, *formats), taken.make)
    return stream, library.streams[0], taken


def playback(pull: Any, *formats: tuple[int, int]) -> tuple[PlaybackStream, Stream]:
    library = Library(*formats)
    stream = PlaybackStream(PortAudio(library), settings(Direction.OUTPUT, *formats), 0.01, lambda _: pull)
    return stream, library.streams[0]


@pytest.mark.parametrize(
    ("formats", "chosen"),
    [
        ([(48_000, 2), (16_000, 1)], (16_000, 1)),
        ([(44_100, 1), (48_000, 2)], (48_000, 2)),
        ([(44_100, 1)], (44_100, 1)),
    ],
)
def test_a_microphone_runs_at_the_rate_that_needs_least_conversion(formats, chosen):
    _, stream, taken = capture(*formats)
    assert (taken.layout.rate_hz, taken.layout.channels) == chosen
    assert stream.settings["samplerate"], stream.settings["channels"] == chosen


def test_a_card_that_portaudio_does_not_list_is_refused():
    portaudio = PortAudio(Library((16_000, 1), name="Other (hw:7,0)"))
    with pytest.raises(MicrophoneError, match=r"^it is present, but PortAudio cannot use it as a microphone$"):
        CaptureStream(portaudio, settings(Direction.INPUT, (16_000, 1)), Taken().make)


def test_a_card_that_takes_no_format_is_refused_with_the_reason_of_the_best_one():
    class Library8(Library):
        def check_output_settings(self, **settings: Any) -> None:
            raise Failure(f"no {settings['samplerate']} Hz")

    wanted = settings(Direction.OUTPUT, (8_000, 1), (48_000, 2), (16_000, 1))
    with pytest.raises(SpeakerError, match=r"^it does not open, best with 2 channels at 48000 Hz: no 48000 Hz$"):
        PlaybackStream(PortAudio(Library8()), wanted, 0.01, lambda _: None)  # type: ignore[arg-type, return-value]


def test_moments_are_distances_from_now_so_that_a_step_of_the_wall_clock_changes_nothing():
    stream, card, taken = capture((16_000, 1))
    for wall in (1_795_000_000.0, 1_795_000_000.02, 946_684_800.0):  # the last after a step back by decades
        card.call(bytes(640), currentTime=wall, inputBufferAdcTime=wall - 0.025)
    ages = [now - (started_at or 0.0) for _, started_at, now in taken.periods]
    assert ages == pytest.approx([0.025] * 3, abs=1e-4)
    assert stream.failures == 0


@pytest.mark.parametrize("adc", [0.0, 5.0, 99.0])
def test_a_moment_that_cannot_be_is_no_moment(adc):
    _, card, taken = capture((16_000, 1))
    card.call(bytes(640), currentTime=5.0, inputBufferAdcTime=adc)
    assert taken.periods[0][1] is None


def test_the_speaker_says_when_its_first_sample_is_audible_and_both_channels_play():
    asked: list[float] = []

    def pull(frames: int, audible_at: Seconds) -> Pcm:
        asked.append(audible_at)
        return np.arange(frames, dtype=np.int16)

    stream, card = playback(pull, (48_000, 2))
    content = bytearray(480 * 4)
    card.call(content, currentTime=7.0, outputBufferDacTime=7.03)
    played = np.frombuffer(bytes(content), np.int16).reshape(-1, 2)
    assert np.array_equal(played[:, 0], played[:, 1])
    assert played[:, 0].tolist() == list(range(480))
    assert asked[0] - stream.called_at == pytest.approx(0.03, abs=1e-4)
    card.call(content, currentTime=0.0, outputBufferDacTime=0.0)  # as some drivers begin
    assert asked[1] - stream.called_at == pytest.approx(stream.buffer_s, abs=1e-4)


def test_a_callback_that_fails_is_silent_and_counted_and_the_stream_goes_on():
    def pull(frames: int, audible_at: Seconds) -> Pcm:
        raise ValueError

    stream, card = playback(pull, (24_000, 1))
    content = bytearray(b"\x55" * 480)
    card.call(content, currentTime=1.0, outputBufferDacTime=1.01)
    assert not any(content)
    assert stream.failures == 1
    assert stream.called_at > 0


def test_xruns_are_counted_and_nothing_is_ever_stopped_but_aborted():
    stream, card, _ = capture((16_000, 1))
    card.call(bytes(640), status=2, currentTime=1.0, inputBufferAdcTime=0.9)
    stream.start()
    stream.abort()
    assert stream.xruns == 1
    assert card.log == ["start", "abort", "close"]
