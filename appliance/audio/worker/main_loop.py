"""Main loop of the audio worker: opens the configured cards, passes orders to the mixer, and watches both.

Looks for missing cards, notices that one has stopped, and lengthens the speaker's periods where they are too short for
this machine. It exits where PortAudio has to forget a card or see a new one: only a new process makes it do that.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

from appliance.audio.cards.alsa import Availability, converted
from appliance.audio.cards.availability import CardLookup, look_up
from appliance.audio.cards.devices import Direction
from appliance.audio.cards.hardware import layouts, why_none
from appliance.audio.playback.mixer import RingMixer
from appliance.audio.worker import echo_thread
from appliance.audio.worker.capture_converter import CaptureConverter
from appliance.audio.worker.messages import (
    MAX_BYTES,
    PERIODS_MS,
    Complete,
    Duck,
    Flush,
    Gain,
    Heartbeat,
    Lost,
    Opened,
    PeriodIncreased,
    QueueSamples,
    Refused,
    Scheduling,
    Sound,
    WireError,
    WorkerConfig,
    WorkerExit,
    unpack,
)
from appliance.audio.worker.portaudio import CaptureStream, CardStream, PlaybackStream, PortAudio, StreamSettings
from appliance.audio.worker.report_queue import ReportQueue
from appliance.errors import DeviceError
from appliance.units import AudioFormat, Pcm, Seconds

HEARTBEAT_S: Final = 0.05
LOOKUP_S: Final = 0.25
"""Interval between two searches for a missing card."""
UNUSABLE_S: Final = 30.0
"""Wait before a card that ALSA can open and PortAudio cannot is tried again, by a new process."""
CALLBACK_TIMEOUT_S: Final = {Scheduling.REAL_TIME: 0.15, Scheduling.ORDINARY: 1.0}
"""A card without a callback for this long is lost; a busy CPU delays ordinary threads by half a second."""
FIRST_CALLBACK_TIMEOUT_S: Final = 1.5
MAX_UNDERFLOWS: Final = 3
"""Underflows, within `UNDERFLOW_WINDOW_S`, after which the speaker's periods are made longer."""
UNDERFLOW_WINDOW_S: Final = 60.0
STARTUP_S: Final = 1.0
"""A speaker's underflows do not count for this long after it was started."""


class _CardState:
    """One direction: the configured card, and how far opening it has come."""

    def __init__(self, direction: Direction, name: str) -> None:
        self.direction = direction
        self.name = name
        self.found: CardLookup | None = None
        """Result of the last search for it."""
        self.settings: StreamSettings | None = None
        """Layouts to open it with, once they are known."""
        self.stream: CardStream | None = None
        self.started_at = 0.0
        self.is_reported = False
        """Whether `Opened` was sent."""
        self.refused: Refused | None = None
        self.retry_at = 0.0
        """Earliest time of the next attempt to open it."""

    @property
    def label(self) -> str:
        """Name for people."""
        return self.found.device.label if self.found and self.found.device else self.name

    def age(self, now: float) -> float:
        """Return the time since the last callback."""
        return now - self.stream.called_at if self.stream and self.stream.called_at else now - self.started_at

    def timeout(self) -> float:
        """Return the longest time allowed between two callbacks."""
        is_called = self.stream and self.stream.called_at
        return CALLBACK_TIMEOUT_S[self.stream.scheduling] if self.stream and is_called else FIRST_CALLBACK_TIMEOUT_S


class Worker:
    """Everything in the process but its start."""

    def __init__(self, connection: socket.socket, reports: ReportQueue, config: WorkerConfig) -> None:
        self._connection = connection
        self._reports = reports
        self._config = config
        names = {Direction.INPUT: config.microphone, Direction.OUTPUT: config.speaker}
        self._cards = [_CardState(direction, name) for direction, name in names.items() if name is not None]
        self._portaudio: PortAudio | None = None
        self._converter: CaptureConverter | None = None
        self._mixer: RingMixer | None = None
        has_echo = None not in names.values()
        self._echo = echo_thread.start(config.aec, reports.send) if has_echo else None
        self._period_ms = config.period_ms
        self._sound: list[Pcm] = []
        self._underflows: deque[float] = deque(maxlen=MAX_UNDERFLOWS)
        self._seen_underflows = 0

    def run(self) -> WorkerExit:
        """Serve; return the exit code."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        heartbeat_at = lookup_at = 0.0
        while True:
            now = time.monotonic()
            if now >= lookup_at:
                lookup_at = now + LOOKUP_S
                if self._open_missing():
                    return WorkerExit.NEW_CARD
            if now >= heartbeat_at:
                heartbeat_at = now + HEARTBEAT_S
                if self._is_lost(now) or not self._adapt_period(now):
                    return WorkerExit.CARD_LOST
                self._report()
            for _ in poll.poll(max(0.0, heartbeat_at - time.monotonic()) * 1000):
                code = self._receive()
                if code is not None:
                    return code

    # Orders

    def _receive(self) -> WorkerExit | None:
        """Carry out all orders that have come; return an exit code if the process has to end."""
        while True:
            try:
                datagram = self._connection.recv(MAX_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError:
                return WorkerExit.DAEMON_GONE
            if not datagram:
                return WorkerExit.DAEMON_GONE
            try:
                order = unpack(datagram)
            except WireError:
                return WorkerExit.BAD_MESSAGE
            if self._mixer is not None:
                self._carry_out(self._mixer, order)

    def _carry_out(self, mixer: RingMixer, order: object) -> None:
        match order:
            case QueueSamples(samples=samples):
                mixer.queue(samples)
            case Complete():
                mixer.complete()
            case Flush():
                mixer.flush()
                self._sound = []
            case Duck(ducked=ducked):
                mixer.duck(ducked=ducked)
            case Sound(samples=samples, is_last=is_last):
                self._sound.append(samples)
                if is_last:
                    mixer.play_sound(np.concatenate(self._sound))
                    self._sound = []
            case Gain(gain=gain):
                mixer.set_gain(gain)

    # Cards

    def _open_missing(self) -> bool:
        """Open the cards that are not open; return whether that takes a new process."""
        ready = [card for card in self._cards if card.stream is None and self._is_available(card)]
        if self._portaudio is not None and any(card.refused is not None for card in ready):
            return True
        if self._portaudio is None:
            # All of them first: PortAudio lists what ALSA knows when it is initialised.
            ready = [card for card in ready if self._try(card, self._prepare)]
        for card in ready:
            self._try(card, self._open)
        return False

    def _is_available(self, card: _CardState) -> bool:
        """Return whether a card can be opened, and may be tried now."""
        card.found = look_up(card.name, card.direction)
        if card.found.availability is not Availability.AVAILABLE:
            self._refuse(card, card.found.availability, card.found.text)
            card.retry_at = 0.0
            return False
        return time.monotonic() >= card.retry_at

    def _try(self, card: _CardState, action: Callable[[_CardState], None]) -> bool:
        """Run a step of opening a card; if it fails, report why, and return False."""
        try:
            action(card)
        except DeviceError as error:
            self._refuse(card, Availability.BROKEN, f"the {card.direction.noun} {card.label}: {error}")
            card.retry_at = time.monotonic() + UNUSABLE_S
            return False
        return True

    def _prepare(self, card: _CardState) -> None:
        """Find out how to open a card."""
        if card.settings is not None:
            return
        found, channel = card.found, self._config.channel
        if found is None or found.device is None or found.hardware is None:
            raise AssertionError
        usable = [*layouts(found.hardware, card.direction, channel)]
        if not usable:
            raise card.direction.error(why_none(found.hardware, channel))
        card.settings = StreamSettings(converted(found.device, found.hardware, card.direction, usable[0]), usable)

    def _open(self, card: _CardState) -> None:
        if self._portaudio is None:
            self._portaudio = PortAudio()
        if card.settings is None:
            raise AssertionError
        try:
            card.stream = self._stream(card.direction, self._portaudio, card.settings)
            card.started_at = time.monotonic()
            card.stream.start()
        except DeviceError:
            card.stream = None
            raise
        card.refused = None

    def _stream(self, direction: Direction, portaudio: PortAudio, settings: StreamSettings) -> CardStream:
        if direction is Direction.INPUT:
            return CaptureStream(portaudio, settings, self._make_take)
        return PlaybackStream(portaudio, settings, self._period_ms / 1000, self._make_pull)

    def _make_take(self, layout: AudioFormat) -> Callable[..., None]:
        deliver = self._echo.put if self._echo else self._reports.send
        self._converter = CaptureConverter(layout, deliver, self._config.channel)
        return self._converter.take

    def _make_pull(self, layout: AudioFormat) -> Callable[[int, Seconds], Pcm]:
        if self._mixer is None:
            self._mixer = RingMixer(self._reports.send, layout.rate_hz, self._config.prebuffer_s)
        return self._echo.tapped(self._mixer.pull, layout.rate_hz) if self._echo else self._mixer.pull

    def _refuse(self, card: _CardState, availability: Availability, text: str) -> None:
        """Report that a card cannot be opened, once for each reason."""
        refused = Refused(card.direction, availability, text)
        if card.refused != refused:
            card.refused = refused
            self._reports.send(refused)

    def _is_lost(self, now: float) -> bool:
        for card in self._cards:
            if card.stream is not None and card.age(now) > card.timeout():
                self._reports.send(Lost(card.direction, f"{card.label} has stopped: check its plug"))
                return True
        return False

    # Reports

    def _report(self) -> None:
        self._reports.flush()
        for card in self._cards:
            if card.stream is not None and not card.is_reported and card.stream.called_at:
                card.is_reported = True
                self._reports.send(self._opened(card, card.stream))
        if self._echo and (status := self._echo.status):
            self._reports.send(status)
        self._reports.send(self._heartbeat())

    def _opened(self, card: _CardState, stream: CardStream) -> Opened:
        return Opened(
            direction=card.direction,
            scheduling=stream.scheduling,
            rate_hz=stream.layout.rate_hz,
            channels=stream.layout.channels,
            period=stream.period,
            buffer_s=stream.buffer_s,
            audible_at=stream.audible_at if isinstance(stream, PlaybackStream) else Seconds(0.0),
            label=card.label,
        )

    def _adapt_period(self, now: float) -> bool:
        """Make the periods longer after too many underflows; return whether the speaker still runs."""
        for card in self._cards:
            if isinstance(card.stream, PlaybackStream) and self._underflows_too_often(card, card.stream, now):
                return self._reopen(card, card.stream)
        return True

    def _underflows_too_often(self, card: _CardState, stream: PlaybackStream, now: float) -> bool:
        new = stream.xruns - self._seen_underflows
        self._seen_underflows = stream.xruns
        if now - card.started_at < STARTUP_S or not new:
            return False
        self._underflows.extend([now] * min(new, MAX_UNDERFLOWS))
        return len(self._underflows) == MAX_UNDERFLOWS and now - self._underflows[0] < UNDERFLOW_WINDOW_S

    def _reopen(self, card: _CardState, stream: PlaybackStream) -> bool:
        """Open the speaker with the next longer periods; return whether it runs."""
        longer = [period for period in PERIODS_MS if period > self._period_ms]
        if not longer:
            return True
        self._underflows.clear()
        self._seen_underflows = 0
        self._period_ms = longer[0]
        self._reports.send(PeriodIncreased(self._period_ms))
        stream.abort()
        card.stream = None
        try:
            self._open(card)
        except DeviceError as error:
            self._reports.send(Lost(card.direction, str(error)))
            return False
        return True

    def _heartbeat(self) -> Heartbeat:
        streams = {card.direction: card.stream for card in self._cards if card.stream is not None}
        microphone, speaker = streams.get(Direction.INPUT), streams.get(Direction.OUTPUT)
        converter, mixer = self._converter, self._mixer
        return Heartbeat(
            captured=converter.captured if converter else 0,
            lost=(converter.lost if converter else 0) + (self._echo.lost if self._echo else 0),
            unsent=self._reports.dropped,
            overflows=microphone.xruns if microphone else 0,
            underflows=speaker.xruns if speaker else 0,
            underruns=mixer.counts.underruns if mixer else 0,
            failures=sum(stream.failures for stream in streams.values()) + (self._echo.failures if self._echo else 0),
            microphone_ppm=converter.ppm if converter else 0.0,
            speaker_ppm=speaker.clock.ppm if speaker else 0.0,
            prebuffer_s=mixer.counts.prebuffer_s if mixer else 0.0,
        )
