"""Streams of sound cards through PortAudio: the only importer of sounddevice, in the audio worker alone.

Facts about PortAudio 19.6 on ALSA that this relies on: it does not report a lost card (callbacks just stop, or it loops
for ever); `stop` may hang then, so streams are only ever aborted; its list of devices is as old as its initialisation;
its clock may be the wall clock, so times are only used as offsets from now; and a callback that raises ends the stream
silently.
"""

# ruff: noqa: ANN401  (sounddevice declares no types)

import ctypes
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from appliance.audio.cards.devices import Direction, PcmDevice
from appliance.audio.worker.capture_converter import ClockDriftEstimator
from appliance.audio.worker.messages import Scheduling
from appliance.audio.worker.realtime import PRIORITY, set_real_time
from appliance.errors import DeviceError
from appliance.units import AudioFormat, Pcm, Seconds

CAPTURE_PERIOD_S: Final = 0.02
CAPTURE_PERIODS: Final = 16
"""A deep buffer does not delay a microphone: with fewer than 4 periods, one late wake-up loses samples."""
PLAYBACK_PERIODS: Final = 3
"""Each period delays every interruption; with fewer than 3, one late wake-up causes a gap."""
PLAUSIBLE_S: Final = 1.0
"""Longest credible offset of a buffer: some drivers give no time in their first callbacks."""


def load() -> Any:
    """Import sounddevice, which initialises PortAudio, which opens every card for a moment.

    Raises:
        DeviceError: It, or PortAudio, is not installed.
    """
    try:
        import sounddevice  # noqa: PLC0415  it has to wait until the cards are present
    except ImportError as error:
        raise DeviceError("sounddevice is not installed: pip install 'voice-appliance[device]'") from error
    except OSError as error:
        raise DeviceError("PortAudio is not installed: sudo apt install libportaudio2") from error
    return sounddevice


class PortAudio:
    """The library, initialised; it sees only cards that were present at that time."""

    def __init__(self, library: Any = None) -> None:
        """``library`` is the module sounddevice; tests pass another one."""
        self._library = load() if library is None else library
        self.error: type[Exception] = self._library.PortAudioError

    def find(self, wanted: PcmDevice, direction: Direction) -> int:
        """Return PortAudio's number of a device; raises the direction's error."""
        count = f"max_{direction.value}_channels"
        for number, device in enumerate(self._library.query_devices()):
            if wanted.is_portaudio(device["name"]) and device[count] > 0:
                return number
        raise direction.error(f"it is present, but PortAudio cannot use it as a {direction.noun}")

    def layout(self, device: int, direction: Direction, wanted: Iterable[AudioFormat]) -> AudioFormat:
        """Return the first layout, of one or more, that a device takes; raises the direction's error."""
        check = getattr(self._library, f"check_{direction.value}_settings")
        first: tuple[AudioFormat, Exception] | None = None
        for layout in wanted:
            try:
                check(device=device, channels=layout.channels, dtype="int16", samplerate=layout.rate_hz)
            except self.error as error:
                first = first or (layout, error)
            else:
                return layout
        if first is None:
            raise AssertionError
        best, reason = first
        raise direction.error(f"it does not open, best with {best.channels} channels at {best.rate_hz} Hz: {reason}")

    def open(self, direction: Direction, settings: dict[str, Any], periods: int) -> Any:
        """Return a stream that is not started; raises the direction's error."""
        kind = self._library.RawInputStream if direction is Direction.INPUT else self._library.RawOutputStream
        _set_periods(self._library, periods)
        try:
            return kind(dtype="int16", **settings)
        except (self.error, ValueError) as error:
            raise direction.error(f"it cannot be opened: {error}") from error


def _set_periods(library: Any, periods: int) -> None:
    """Set the number of periods in the next stream's buffer: an option of the library that sounddevice lacks."""
    name: str = library._libname  # noqa: SLF001  the same library, not another copy
    with suppress(OSError, AttributeError):  # a PortAudio without ALSA, as on a developer's laptop, has no such call
        ctypes.CDLL(name).PaAlsa_SetNumPeriods(periods)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """A card to open, and its layouts."""

    device: PcmDevice
    layouts: Sequence[AudioFormat]
    """One or more, the best one first."""


class CardStream:
    """One direction of an open card. Its callback runs on PortAudio's thread."""

    def __init__(self, portaudio: PortAudio, settings: StreamSettings, direction: Direction, period_s: float) -> None:
        number = portaudio.find(settings.device, direction)
        self.direction = direction
        self.layout = portaudio.layout(number, direction, settings.layouts)
        self.period = self.layout.frames(period_s)
        self.clock = ClockDriftEstimator(self.layout.rate_hz)
        self.called_at = 0.0
        """Time of the newest callback; 0 before the first."""
        self.xruns = 0
        self.failures = 0
        """Callbacks that raised an exception; the speaker plays silence instead."""
        self.scheduling = Scheduling.ORDINARY
        self._frames = 0
        periods = CAPTURE_PERIODS if direction is Direction.INPUT else PLAYBACK_PERIODS
        self._stream = portaudio.open(
            direction,
            {
                "device": number,
                "samplerate": self.layout.rate_hz,
                "channels": self.layout.channels,
                # A microphone's callback takes any number of frames: with a fixed block size PortAudio holds the rest
                # back, and every block comes a little later than the one before.
                "blocksize": 0 if direction is Direction.INPUT else self.period,
                "latency": period_s * (periods - 1),
                "callback": self._callback,
            },
            periods,
        )
        self.buffer_s = float(self._stream.latency)

    def start(self) -> None:
        """Start the stream; raises the direction's error."""
        try:
            self._stream.start()
        except Exception as error:
            raise self.direction.error(f"it cannot be started: {error}") from error

    def abort(self) -> None:
        """Stop the stream, and drop what its buffer holds."""
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _callback(self, content: Any, frames: int, moment: Any, status: Any) -> None:
        now = time.monotonic()
        try:
            if not self.called_at:
                self.scheduling = set_real_time(PRIORITY)
            if status:
                self.xruns += 1
            self._serve(content, frames, moment, now)
        except Exception:  # noqa: BLE001  the root of a thread: PortAudio would end the stream
            self.failures += 1
            if self.direction is Direction.OUTPUT:
                content[:] = bytes(len(content))
        self._frames += frames
        self.called_at = now

    def _serve(self, content: Any, frames: int, moment: Any, now: float) -> None:
        raise NotImplementedError


class CaptureStream(CardStream):
    """A microphone."""

    def __init__(
        self, portaudio: PortAudio, settings: StreamSettings, make_take: Callable[[AudioFormat], Callable[..., None]]
    ) -> None:
        """``make_take`` returns the receiver of the periods for a layout: `CaptureConverter.take`."""
        super().__init__(portaudio, settings, Direction.INPUT, CAPTURE_PERIOD_S)
        self._take = make_take(self.layout)

    def _serve(self, content: Any, frames: int, moment: Any, now: float) -> None:  # noqa: ARG002
        age_s = moment.currentTime - moment.inputBufferAdcTime
        started_at = Seconds(now - age_s) if 0 < age_s < PLAUSIBLE_S else None
        self._take(bytes(content), started_at, Seconds(now))  # PortAudio reuses the buffer


class PlaybackStream(CardStream):
    """A speaker."""

    def __init__(
        self,
        portaudio: PortAudio,
        settings: StreamSettings,
        period_s: float,
        make_pull: Callable[[AudioFormat], Callable[[int, Seconds], Pcm]],
    ) -> None:
        """``make_pull`` returns the source of the periods for a layout, mono at the card's rate."""
        super().__init__(portaudio, settings, Direction.OUTPUT, period_s)
        self.audible_at = Seconds(0.0)
        """When its first sample is heard; 0 before the first callback."""
        self._pull = make_pull(self.layout)

    def _serve(self, content: Any, frames: int, moment: Any, now: float) -> None:
        ahead_s = moment.outputBufferDacTime - moment.currentTime
        plausible = 0 < ahead_s < PLAUSIBLE_S
        audible_at = Seconds(now + (ahead_s if plausible else self.buffer_s))
        self.audible_at = self.audible_at or audible_at
        if plausible:
            self.clock.note(audible_at, self._frames)
        samples = self._pull(frames, audible_at)
        content[:] = (samples if self.layout.channels == 1 else np.repeat(samples, self.layout.channels)).tobytes()
