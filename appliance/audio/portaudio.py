"""Sound cards through PortAudio. The only importer of sounddevice, and only when a card is really wanted.

Responsible for finding a card by name, for a rate that it takes, for conversion to and from the formats of the
appliance, for moments of the loop's clock, and for noticing that a card has gone. Facts about PortAudio's ALSA side:
it names no lost device (callbacks just stop), `stop` can hang for ever on one (so only `abort` is used), and its list
of devices is as old as its initialisation.
"""

# ruff: noqa: ANN401, D102, N802  (sounddevice's names, and types that it does not declare)

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol, cast

import numpy as np

from appliance.audio.ports import Block, PeriodSource
from appliance.audio.resample import Quality, Resampler
from appliance.errors import DeviceError, MicrophoneError, SpeakerError
from appliance.units import REPLY, UPLINK, AudioFormat, Hz, Pcm, SampleIndex, Seconds

_SILENT_FOR_S: Final = 1.0
"""A card that has not called for this long is gone."""
_LOOK_EVERY_S: Final = 0.25
_CAPTURE_PERIOD_S: Final = 0.02
_CAPTURE_LATENCY_S: Final = 0.1
"""PortAudio makes four periods of it or more; with fewer, one late wake-up loses samples."""
_PLAYBACK_PERIOD_S: Final = 0.01
_PLAYBACK_LATENCY_S: Final = 0.04
"""PortAudio keeps as much as this filled: it delays every interruption."""
_PLAUSIBLE_S: Final = 1.0
"""Some drivers give no moment in their first callbacks; a distance beyond this is no moment of a buffer."""


class Direction(Enum):
    """Which way the samples go; the values are PortAudio's names."""

    INPUT = "input"
    OUTPUT = "output"

    @property
    def noun(self) -> str:
        """What people call it; also the name of its settings section."""
        return "microphone" if self is Direction.INPUT else "speaker"

    @property
    def error(self) -> type[DeviceError]:
        """What is raised for it."""
        return MicrophoneError if self is Direction.INPUT else SpeakerError


@dataclass(frozen=True, slots=True)
class Device:
    """A sound card, as PortAudio lists it; a channel count of 0 means that it cannot do this direction."""

    index: int
    name: str
    inputs: int
    outputs: int

    def channels(self, direction: Direction) -> int:
        """Return how many channels it has that way."""
        return self.inputs if direction is Direction.INPUT else self.outputs


class Library(Protocol):
    """The part of the module sounddevice that is used, under its names."""

    @property
    def PortAudioError(self) -> type[Exception]: ...
    def RawInputStream(self, **settings: Any) -> Any: ...
    def RawOutputStream(self, **settings: Any) -> Any: ...
    def query_devices(self, device: int | None = None, kind: str | None = None) -> Any: ...
    def check_input_settings(self, **settings: Any) -> None: ...
    def check_output_settings(self, **settings: Any) -> None: ...
    def _terminate(self) -> None: ...
    def _initialize(self) -> None: ...


def load_library() -> Library:
    """Return sounddevice.

    Raises:
        DeviceError: It, or PortAudio, is not installed.
    """
    try:
        import sounddevice  # noqa: PLC0415  it loads the PortAudio library, which a laptop may lack

        return cast("Library", sounddevice)
    except ImportError as error:
        raise DeviceError("sounddevice is not installed: pip install 'voice-appliance[device]'") from error
    except OSError as error:
        raise DeviceError("PortAudio is not installed: sudo apt install libportaudio2") from error


def list_devices(library: Library | None = None) -> tuple[Device, ...]:
    """Return all sound cards, in PortAudio's order; raises DeviceError where PortAudio is not installed."""
    return tuple(_device(entry) for entry in (library or load_library()).query_devices())


def _device(entry: dict[str, Any]) -> Device:
    return Device(entry["index"], entry["name"], entry["max_input_channels"], entry["max_output_channels"])


def resolve(wanted: str, direction: Direction, devices: Sequence[Device], default: Device | None) -> Device:
    """Return the device with this name, else the only one whose name has ``wanted`` in it; of none, the default.

    Raises:
        MicrophoneError: There is none, or more than one; the message lists what there is. For a speaker, SpeakerError.
    """
    usable = [device for device in devices if device.channels(direction) > 0]
    names = ", ".join(f'"{device.name}"' for device in usable)
    noun = direction.noun
    if not usable:
        raise direction.error(f"no {noun} is there: plug one in, and look at `arecord -l` and `aplay -l`")
    if not wanted:
        if default is None or default not in usable:
            raise direction.error(f"the system has no default {noun}: set {noun}.device to one of {names}")
        return default
    found = [device for device in usable if device.name == wanted]
    found = found or [device for device in usable if wanted.casefold() in device.name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f'"{device.name}"' for device in found)
        raise direction.error(f'"{wanted}" fits more than one {noun}: set {noun}.device to one of {several}')
    raise direction.error(f'no {noun} is called "{wanted}": set {noun}.device to one of {names}, or a part of it')


_open_streams: Final[set[object]] = set()
"""Of this process: while any is open, PortAudio cannot look for devices again."""


class _Card:
    """One direction of a sound card: found by name, opened, watched."""

    def __init__(self, name: str, direction: Direction, native: AudioFormat, library: Library | None) -> None:
        self._name = name
        self._direction = direction
        self._native = native
        self._library = library

    def choose(self) -> tuple[Device, AudioFormat]:
        """Return the device, and the format nearest to the appliance's own that it takes; raises DeviceError."""
        library = self._loaded()
        device = self._find(library)
        check = getattr(library, f"check_{self._direction.value}_settings")
        reason = ""
        for rate_hz in (self._native.rate_hz, 48_000, 44_100):
            for channels in (1, 2):
                try:
                    check(device=device.index, channels=channels, dtype="int16", samplerate=rate_hz)
                except library.PortAudioError as error:
                    reason = str(error)
                else:
                    return device, AudioFormat(Hz(rate_hz), channels)
        raise self._direction.error(f'"{device.name}" takes no usable format, or another program has it: {reason}')

    @contextmanager
    def opened(
        self, device: Device, layout: AudioFormat, callback: Callable[..., None], *, period_s: float, latency_s: float
    ) -> Iterator[Any]:
        """Run a stream; blocks for as long as PortAudio takes to open it (as a rule under 0.2 s)."""
        library = self._loaded()
        kind = library.RawInputStream if self._direction is Direction.INPUT else library.RawOutputStream
        try:
            stream = kind(
                samplerate=layout.rate_hz,
                blocksize=layout.frames(period_s),
                device=device.index,
                channels=layout.channels,
                dtype="int16",
                latency=latency_s,
                callback=callback,
            )
        except (library.PortAudioError, ValueError) as error:
            raise self._direction.error(f'"{device.name}" cannot be opened: {error}') from error
        _open_streams.add(stream)
        try:
            stream.start()
            yield stream
        except library.PortAudioError as error:
            raise self._direction.error(f'"{device.name}" cannot be started: {error}') from error
        finally:
            stream.abort()
            stream.close()
            _open_streams.discard(stream)

    async def watch(self, device: Device, stream: Any, pulse: "_Pulse") -> None:
        """Wait until the card goes or a callback fails; raises what is to be said of it."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if pulse.failure is not None:
                raise pulse.failure
            if not stream.active or loop.time() - pulse.called_at > _SILENT_FOR_S:
                raise self._direction.error(f'"{device.name}" has stopped: check its plug')

    def _loaded(self) -> Library:
        if self._library is None:
            try:
                self._library = load_library()
            except DeviceError as error:
                raise self._direction.error(str(error)) from error
        return self._library

    def _find(self, library: Library) -> Device:
        try:
            return self._resolve(library)
        except DeviceError:
            if _open_streams:
                raise
        library._terminate()  # noqa: SLF001  the documented way to see devices that came later
        library._initialize()  # noqa: SLF001
        return self._resolve(library)

    def _resolve(self, library: Library) -> Device:
        try:
            default = _device(library.query_devices(kind=self._direction.value))
        except library.PortAudioError:
            default = None
        return resolve(self._name, self._direction, list_devices(library), default)


class _Pulse:
    """A sign of life from PortAudio's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.called_at = Seconds(loop.time())
        self.failure: Exception | None = None

    def beat(self) -> Seconds:
        """Return now, and remember it."""
        self.called_at = Seconds(self.loop.time())
        return self.called_at


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far the stream of microphone samples has come: the next index, and when the sample before it was captured."""

    index: SampleIndex
    at: Seconds | None


class _Capture(_Pulse):
    """Makes blocks of what PortAudio's thread brings; counts what is missing between two callbacks."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        layout: AudioFormat,
        reached: _Reached,
        on_block: Callable[[Block], None],
    ) -> None:
        super().__init__(loop)
        self.reached = reached
        self.on_block: Callable[[Block], None] | None = on_block
        """None once nothing more is wanted: a period may still be on its way to the loop."""
        self._layout = layout
        self._resampler = Resampler(layout, UPLINK.rate_hz, Quality.PROMPT)
        self._held_back_s = 0.0
        self._ended_at = reached.at

    def callback(self, content: Any, frames: int, time: Any, _status: object) -> None:
        """Copy a period and hand it over; on PortAudio's thread, shape as sounddevice has it."""
        now = self.beat()
        length_s = self._layout.duration(frames)
        age_s = time.currentTime - time.inputBufferAdcTime
        ended_at, lost_s = now, 0.0
        if 0 < age_s < _PLAUSIBLE_S:
            ended_at = Seconds(now - age_s + length_s)
            gap_s = 0.0 if self._ended_at is None else ended_at - length_s - self._ended_at
            lost_s = gap_s if gap_s > length_s / 2 else 0.0
            self._ended_at = ended_at
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._arrive, bytes(content), ended_at, lost_s)

    def _arrive(self, content: bytes, ended_at: Seconds, lost_s: float) -> None:
        if self.on_block is None:
            return
        frames = np.frombuffer(content, np.int16).reshape(-1, self._layout.channels)
        samples = self._resampler.feed(frames)
        self._held_back_s += self._layout.duration(len(frames)) - UPLINK.duration(len(samples))
        start = SampleIndex(self.reached.index + UPLINK.frames(lost_s))
        captured_at = Seconds(ended_at - self._held_back_s)
        self.reached = _Reached(SampleIndex(start + len(samples)), captured_at)
        if len(samples):
            self.on_block(Block(start, samples, captured_at))


class _Feed(_Pulse):
    """Fills the periods that PortAudio's thread asks for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, layout: AudioFormat, source: PeriodSource) -> None:
        super().__init__(loop)
        self.latency_s = _PLAYBACK_LATENCY_S
        self._layout = layout
        self._source = source
        self._resampler = Resampler(REPLY, layout.rate_hz, Quality.PROMPT)
        self._waiting: Pcm = np.zeros(0, np.int16)
        self._pulled = 0
        self._delivered = 0

    def callback(self, content: Any, frames: int, time: Any, _status: object) -> None:
        """Fill a period; on PortAudio's thread, shape as sounddevice has it."""
        now = self.beat()
        ahead_s = time.outputBufferDacTime - time.currentTime
        audible_at = Seconds(now + (ahead_s if 0 < ahead_s < _PLAUSIBLE_S else self.latency_s))
        try:
            content[:] = np.repeat(self._samples(frames, audible_at), self._layout.channels).tobytes()
        except Exception as error:  # noqa: BLE001  the root of a thread: `_Card.watch` raises it
            self.failure = error
            content[:] = bytes(len(content))

    def _samples(self, frames: int, audible_at: Seconds) -> Pcm:
        if self._layout.rate_hz == REPLY.rate_hz:
            return self._source.pull(frames, audible_at)
        period = REPLY.frames(_PLAYBACK_PERIOD_S)
        while len(self._waiting) < frames:
            ahead_s = REPLY.duration(self._pulled) - self._layout.duration(self._delivered)
            pulled = self._resampler.feed(self._source.pull(period, Seconds(audible_at + ahead_s)))
            self._waiting = np.concatenate((self._waiting, pulled))
            self._pulled += period
        samples, self._waiting = self._waiting[:frames], self._waiting[frames:]
        self._delivered += frames
        return samples


class PortAudioMicrophone:
    """A capture device by name, or the system's default; implements `ports.Microphone`."""

    def __init__(self, device: str = "", library: Library | None = None) -> None:
        self._card = _Card(device, Direction.INPUT, UPLINK, library)
        self._reached = _Reached(SampleIndex(0), None)

    def check(self) -> tuple[Device, AudioFormat]:
        """Return what would be opened, without opening it; raises MicrophoneError."""
        return self._card.choose()

    async def run(self, on_block: Callable[[Block], None]) -> None:
        """See `ports.Microphone`; lost samples, also those between two runs, are a jump of `Block.start`."""
        device, layout = self._card.choose()
        capture = _Capture(asyncio.get_running_loop(), layout, self._reached, on_block)
        timing = {"period_s": _CAPTURE_PERIOD_S, "latency_s": _CAPTURE_LATENCY_S}
        try:
            with self._card.opened(device, layout, capture.callback, **timing) as stream:
                await self._card.watch(device, stream, capture)
        finally:
            capture.on_block = None
            self._reached = capture.reached


class PortAudioSpeaker:
    """A playback device by name, or the system's default; implements `ports.Speaker`."""

    def __init__(self, device: str = "", library: Library | None = None) -> None:
        self._card = _Card(device, Direction.OUTPUT, REPLY, library)

    def check(self) -> tuple[Device, AudioFormat]:
        """Return what would be opened, without opening it; raises SpeakerError."""
        return self._card.choose()

    async def run(self, source: PeriodSource) -> None:
        """See `ports.Speaker`; pulls on PortAudio's thread."""
        device, layout = self._card.choose()
        feed = _Feed(asyncio.get_running_loop(), layout, source)
        timing = {"period_s": _PLAYBACK_PERIOD_S, "latency_s": _PLAYBACK_LATENCY_S}
        with self._card.opened(device, layout, feed.callback, **timing) as stream:
            feed.latency_s = stream.latency
            await self._card.watch(device, stream, feed)
