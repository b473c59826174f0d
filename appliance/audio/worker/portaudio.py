"""Streams of sound cards through PortAudio: the only importer of sounddevice, in the audio worker alone.

Facts about PortAudio 19.6 on ALSA that this rests on: it tells of no card that is lost (callbacks just stop, or it
goes round for ever); `stop` may hang then, so nothing is ever stopped but aborted; its list of devices is as old as
its initialisation; its clock may be that of the wall, so moments are only used as distances from now; and a callback
that raises ends the stream without a word.
"""

# ruff: noqa: ANN401  (sounddevice declares no types)

import ctypes
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from appliance.audio.cards.devices import Direction, Target
from appliance.audio.worker.capture_converter import ClockDriftEstimator
from appliance.audio.worker.messages import Scheduling
from appliance.audio.worker.realtime import PRIORITY, real_time
from appliance.errors import DeviceError
from appliance.units import AudioFormat, Pcm, Seconds

CAPTURE_PERIOD_S: Final = 0.02
CAPTURE_PERIODS: Final = 16
"""A deep buffer costs a microphone nothing: with less than 4 periods, one late wake-up loses samples."""
PLAYBACK_PERIODS: Final = 3
"""What is in them delays every interruption; with less than 3, one late wake-up is heard."""
PLAUSIBLE_S: Final = 1.0
"""Some drivers give no moment in their first callbacks; a distance beyond this is no moment of a buffer."""


def load() -> Any:
    """Import sounddevice, which initialises PortAudio, which opens every card for a moment.

    Raises:
        DeviceError: It, or PortAudio, is not installed.
    """
    try:
        import sounddevice  # noqa: PLC0415  it has to wait until the cards are there
    except ImportError as error:
        raise DeviceError("sounddevice is not installed: pip install 'voice-appliance[device]'") from error
    except OSError as error:
        raise DeviceError("PortAudio is not installed: sudo apt install libportaudio2") from error
    return sounddevice


class PortAudio:
    """The library, initialised; only for cards that were there at that moment."""

    def __init__(self, library: Any = None) -> None:
        """``library`` is the module sounddevice, for tests another one."""
        self._library = load() if library is None else library
        self.error: type[Exception] = self._library.PortAudioError

    def find(self, target: Target, direction: Direction) -> int:
        """Return PortAudio's number of a device; raises the direction's error."""
        count = f"max_{direction.value}_channels"
        for number, device in enumerate(self._library.query_devices()):
            if target.is_portaudio(device["name"]) and device[count] > 0:
                return number
        raise direction.error(f"it is there, but PortAudio cannot use it as a {direction.noun}")

    def layout(self, device: int, direction: Direction, wanted: Iterable[AudioFormat]) -> AudioFormat:
        """Return the first layout that a device takes, of one or more; raises the direction's error."""
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
    """Set how many periods the next stream's buffer has: of the library, not of a stream, and not in sounddevice."""
    name: str = library._libname  # noqa: SLF001  the same library, not another copy
    with suppress(OSError, AttributeError):  # a PortAudio without ALSA, as on a developer's laptop, has its own number
        ctypes.CDLL(name).PaAlsa_SetNumPeriods(periods)


@dataclass(frozen=True, slots=True)
class Device:
    """A card to open."""

    target: Target
    layouts: Sequence[AudioFormat]
    """One or more, the best one first."""


class CardStream:
    """One direction of a card, running. Its callback is PortAudio's thread."""

    def __init__(self, portaudio: PortAudio, device: Device, direction: Direction, period_s: float) -> None:
        number = portaudio.find(device.target, direction)
        self.direction = direction
        self.layout = portaudio.layout(number, direction, device.layouts)
        self.period = self.layout.frames(period_s)
        self.clock = ClockDriftEstimator(self.layout.rate_hz)
        self.called_at = 0.0
        """Moment of the newest callback; 0 before the first."""
        self.xruns = 0
        self.failures = 0
        """Callbacks that ended with an exception; what they should have brought is silence."""
        self.scheduling = Scheduling.ORDINARY
        self._frames = 0
        periods = CAPTURE_PERIODS if direction is Direction.INPUT else PLAYBACK_PERIODS
        self._stream = portaudio.open(
            direction,
            {
                "device": number,
                "samplerate": self.layout.rate_hz,
                "channels": self.layout.channels,
                # A microphone's callback takes what there is: PortAudio would hold back what is more than a block, and
                # every block would come a little later than the one before.
                "blocksize": 0 if direction is Direction.INPUT else self.period,
                "latency": period_s * (periods - 1),
                "callback": self._callback,
            },
            periods,
        )
        self.buffer_s = float(self._stream.latency)

    def start(self) -> None:
        """Begin; raises the direction's error."""
        try:
            self._stream.start()
        except Exception as error:
            raise self.direction.error(f"it cannot be started: {error}") from error

    def abort(self) -> None:
        """End it, and forget what it holds."""
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _callback(self, content: Any, frames: int, moment: Any, status: Any) -> None:
        now = time.monotonic()
        try:
            if not self.called_at:
                self.scheduling = real_time(PRIORITY)
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
        self, portaudio: PortAudio, device: Device, make_take: Callable[[AudioFormat], Callable[..., None]]
    ) -> None:
        """``make_take`` returns what takes the periods: `intake.Intake.take` for the card's layout."""
        super().__init__(portaudio, device, Direction.INPUT, CAPTURE_PERIOD_S)
        self._take = make_take(self.layout)

    def _serve(self, content: Any, frames: int, moment: Any, now: float) -> None:  # noqa: ARG002
        age_s = moment.currentTime - moment.inputBufferAdcTime
        started_at = Seconds(now - age_s) if 0 < age_s < PLAUSIBLE_S else None
        self._take(bytes(content), started_at, Seconds(now))  # the buffer is PortAudio's, and used again


class PlaybackStream(CardStream):
    """A speaker."""

    def __init__(
        self,
        portaudio: PortAudio,
        device: Device,
        period_s: float,
        make_pull: Callable[[AudioFormat], Callable[[int, Seconds], Pcm]],
    ) -> None:
        """``make_pull`` returns what gives the periods, mono at the card's rate."""
        super().__init__(portaudio, device, Direction.OUTPUT, period_s)
        self._pull = make_pull(self.layout)

    def _serve(self, content: Any, frames: int, moment: Any, now: float) -> None:
        ahead_s = moment.outputBufferDacTime - moment.currentTime
        plausible = 0 < ahead_s < PLAUSIBLE_S
        audible_at = Seconds(now + (ahead_s if plausible else self.buffer_s))
        if plausible:
            self.clock.note(audible_at, self._frames)
        samples = self._pull(frames, audible_at)
        content[:] = (samples if self.layout.channels == 1 else np.repeat(samples, self.layout.channels)).tobytes()
