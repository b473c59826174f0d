"""The main loop of the audio worker: opens the cards that are wanted, passes orders to the deck, watches over all.

Responsible for looking for cards that are not there, for noticing that one has stopped, for longer periods where the
speaker's are too short for this machine, and for leaving: a process is the only thing that gets PortAudio to forget a
card, or to see a new one.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

from appliance.audio.cards.alsa import Presence
from appliance.audio.cards.availability import CardLookup, look_for
from appliance.audio.cards.converter import converted
from appliance.audio.cards.devices import Direction
from appliance.audio.cards.hardware import layouts, why_none
from appliance.audio.playback.mixer import RingMixer
from appliance.audio.ports import PlayedPeriod
from appliance.audio.worker.capture_converter import CaptureConverter
from appliance.audio.worker.messages import (
    MAX_BYTES,
    PERIODS_MS,
    Captured,
    Complete,
    Flush,
    Gain,
    Heartbeat,
    Lost,
    Opened,
    Part,
    PeriodIncreased,
    Played,
    QueueSamples,
    Refused,
    Scheduling,
    Sound,
    WireError,
    WorkerConfig,
    WorkerExit,
    unpack,
)
from appliance.audio.worker.portaudio import CaptureStream, CardStream, Device, PlaybackStream, PortAudio
from appliance.audio.worker.report_queue import ReportQueue
from appliance.errors import DeviceError
from appliance.units import AudioFormat, Pcm, SampleIndex, Seconds

BEAT_S: Final = 0.05
LOOK_S: Final = 0.25
"""How often a card that is not there is looked for."""
UNUSABLE_S: Final = 30.0
"""A card that ALSA can open and PortAudio can not is tried again after this, by a new process."""
SILENT_S: Final = {Scheduling.REAL_TIME: 0.15, Scheduling.ORDINARY: 1.0}
"""A card that has not called for so long is lost; a busy CPU delays ordinary threads by half a second."""
FIRST_CALL_S: Final = 1.5
STEP_AFTER: Final = 3
"""Underflows, within `STEP_WITHIN_S`, after which the speaker's periods are made longer."""
STEP_WITHIN_S: Final = 60.0
SETTLED_S: Final = 1.0
"""What a speaker does in its first second is its start."""


class _Slot:
    """One direction: what is wanted, and what has come of it."""

    def __init__(self, direction: Direction, name: str) -> None:
        self.direction = direction
        self.name = name
        self.found: CardLookup | None = None
        """Result of the last search for it."""
        self.device: Device | None = None
        """How it is opened, once that is known."""
        self.stream: CardStream | None = None
        self.started_at = 0.0
        self.told = False
        """That it runs."""
        self.refused: Refused | None = None
        self.again_at = 0.0
        """Before this, opening it is not tried again."""

    @property
    def label(self) -> str:
        """Name for people."""
        return self.found.target.label if self.found and self.found.target else self.name

    def age(self, now: float) -> float:
        """Return how long its card has not called."""
        return now - self.stream.called_at if self.stream and self.stream.called_at else now - self.started_at

    def limit(self) -> float:
        """Return how long it may not call."""
        return SILENT_S[self.stream.scheduling] if self.stream and self.stream.called_at else FIRST_CALL_S


class Worker:
    """All of the process but its start."""

    def __init__(self, connection: socket.socket, outbox: ReportQueue, wanted: WorkerConfig) -> None:
        self._connection = connection
        self._outbox = outbox
        self._wanted = wanted
        names = {Direction.INPUT: wanted.microphone, Direction.OUTPUT: wanted.speaker}
        self._slots = [_Slot(direction, name) for direction, name in names.items() if name is not None]
        self._portaudio: PortAudio | None = None
        self._intake: CaptureConverter | None = None
        self._deck: RingMixer | None = None
        self._audible_at = Seconds(0.0)
        """When the speaker's first sample is heard; 0 before that is known."""
        self._captured_at = Seconds(0.0)
        self._period_ms = wanted.period_ms
        self._sound: list[Pcm] = []
        self._underflows: deque[float] = deque(maxlen=STEP_AFTER)
        self._seen_underflows = 0

    def run(self) -> WorkerExit:
        """Serve; return why no more."""
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        beat_at = look_at = 0.0
        while True:
            now = time.monotonic()
            if now >= look_at:
                look_at = now + LOOK_S
                if self._look():
                    return WorkerExit.AGAIN
            if now >= beat_at:
                beat_at = now + BEAT_S
                if self._is_lost(now) or not self._climb(now):
                    return WorkerExit.LOST
                self._tell()
            for _ in poll.poll(max(0.0, beat_at - time.monotonic()) * 1000):
                code = self._obey()
                if code is not None:
                    return code

    # Orders

    def _obey(self) -> WorkerExit | None:
        """Carry out all orders that are there; return a reason to leave."""
        while True:
            try:
                datagram = self._connection.recv(MAX_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError:
                return WorkerExit.GONE
            if not datagram:
                return WorkerExit.GONE
            try:
                order = unpack(datagram)
            except WireError:
                return WorkerExit.NONSENSE
            if self._deck is not None:
                self._carry_out(self._deck, order)

    def _carry_out(self, deck: RingMixer, order: object) -> None:
        match order:
            case QueueSamples(samples=samples):
                deck.load(samples)
            case Complete():
                deck.complete()
            case Flush():
                self._sound = []
                deck.cut()
            case Sound(part=part, samples=samples):
                self._sound.append(samples)
                if part is Part.LAST:
                    deck.sound(np.concatenate(self._sound))
                    self._sound = []
            case Gain(gain=gain):
                deck.set_gain(gain)

    # Cards

    def _look(self) -> bool:
        """Open what is not open; tell whether a new process is needed for that."""
        there = [slot for slot in self._slots if slot.stream is None and self._is_there(slot)]
        if self._portaudio is not None and any(slot.refused is not None for slot in there):
            return True
        if self._portaudio is None:
            # All of them first: PortAudio lists what ALSA knows when it is initialised.
            there = [slot for slot in there if self._try(slot, self._prepare)]
        for slot in there:
            self._try(slot, self._open)
        return False

    def _is_there(self, slot: _Slot) -> bool:
        """Tell whether a card can be opened, and is to be tried now."""
        slot.found = look_for(slot.name, slot.direction)
        if slot.found.presence is not Presence.PRESENT:
            self._refuse(slot, slot.found.presence, slot.found.text)
            slot.again_at = 0.0
            return False
        return time.monotonic() >= slot.again_at

    def _try(self, slot: _Slot, do: Callable[[_Slot], None]) -> bool:
        """Do something for a card; tell whether it worked, and refuse the card where not."""
        try:
            do(slot)
        except DeviceError as error:
            self._refuse(slot, Presence.BROKEN, f"the {slot.direction.noun} {slot.label}: {error}")
            slot.again_at = time.monotonic() + UNUSABLE_S
            return False
        return True

    def _prepare(self, slot: _Slot) -> None:
        """Find out how to open a card."""
        if slot.device is not None:
            return
        found, channel = slot.found, self._wanted.channel
        if found is None or found.target is None or found.hardware is None:
            raise AssertionError
        wanted = [*layouts(found.hardware, slot.direction, channel)]
        if not wanted:
            raise slot.direction.error(why_none(found.hardware, channel))
        slot.device = Device(converted(found.target, found.hardware, slot.direction, wanted[0]), wanted)

    def _open(self, slot: _Slot) -> None:
        if self._portaudio is None:
            self._portaudio = PortAudio()
        if slot.device is None:
            raise AssertionError
        try:
            slot.stream = self._stream(slot.direction, self._portaudio, slot.device)
            slot.started_at = time.monotonic()
            slot.stream.start()
        except DeviceError:
            slot.stream = None
            raise
        slot.refused = None

    def _stream(self, direction: Direction, portaudio: PortAudio, device: Device) -> CardStream:
        if direction is Direction.INPUT:
            return CaptureStream(portaudio, device, self._make_take)
        return PlaybackStream(portaudio, device, self._period_ms / 1000, self._make_pull)

    def _make_take(self, layout: AudioFormat) -> Callable[..., None]:
        self._intake = CaptureConverter(layout, self._on_block, self._wanted.channel)
        return self._intake.take

    def _make_pull(self, layout: AudioFormat) -> Callable[[int, Seconds], Pcm]:
        if self._deck is None:
            self._deck = RingMixer(self._on_pulled, layout.rate_hz, self._wanted.prebuffer_s)
        return self._pull

    def _refuse(self, slot: _Slot, presence: Presence, text: str) -> None:
        """Tell it, once for each reason."""
        refused = Refused(slot.direction, presence, text)
        if slot.refused != refused:
            slot.refused = refused
            self._outbox.send(refused)

    def _is_lost(self, now: float) -> bool:
        for slot in self._slots:
            if slot.stream is not None and slot.age(now) > slot.limit():
                self._outbox.send(Lost(slot.direction, f"{slot.label} has stopped: check its plug"))
                return True
        return False

    # What the cards' threads call

    def _on_block(self, start: SampleIndex, captured_at: Seconds, samples: Pcm) -> None:
        self._captured_at = self._captured_at or captured_at
        self._outbox.send(Captured(start, captured_at, samples))

    def _on_pulled(self, pulled: PlayedPeriod) -> None:
        self._outbox.send(Played(pulled.audible_at, pulled.start, pulled.count, pulled.edge))

    def _pull(self, frames: int, audible_at: Seconds) -> Pcm:
        self._audible_at = self._audible_at or audible_at
        if self._deck is None:
            raise AssertionError
        return self._deck.pull(frames, audible_at)

    # Reports

    def _tell(self) -> None:
        self._outbox.flush()
        for slot in self._slots:
            if slot.stream is not None and not slot.told and slot.stream.called_at:
                slot.told = True
                self._outbox.send(self._opened(slot, slot.stream))
        self._outbox.send(self._beat())

    def _opened(self, slot: _Slot, stream: CardStream) -> Opened:
        at = self._captured_at if slot.direction is Direction.INPUT else self._audible_at
        return Opened(
            direction=slot.direction,
            scheduling=stream.scheduling,
            rate_hz=stream.layout.rate_hz,
            channels=stream.layout.channels,
            period=stream.period,
            buffer_s=stream.buffer_s,
            at=at,
            label=slot.label,
        )

    def _climb(self, now: float) -> bool:
        """Make the periods longer where the speaker has run empty too often; tell whether it still runs."""
        for slot in self._slots:
            if isinstance(slot.stream, PlaybackStream) and self._runs_empty(slot, slot.stream, now):
                return self._reopen(slot, slot.stream)
        return True

    def _runs_empty(self, slot: _Slot, stream: PlaybackStream, now: float) -> bool:
        new = stream.xruns - self._seen_underflows
        self._seen_underflows = stream.xruns
        if now - slot.started_at < SETTLED_S or not new:
            return False
        self._underflows.extend([now] * min(new, STEP_AFTER))
        return len(self._underflows) == STEP_AFTER and now - self._underflows[0] < STEP_WITHIN_S

    def _reopen(self, slot: _Slot, stream: PlaybackStream) -> bool:
        """Open the speaker with the next longer periods; tell whether it runs."""
        longer = [period for period in PERIODS_MS if period > self._period_ms]
        if not longer:
            return True
        self._underflows.clear()
        self._seen_underflows = 0
        self._period_ms = longer[0]
        self._outbox.send(PeriodIncreased(self._period_ms))
        stream.abort()
        slot.stream = None
        try:
            self._open(slot)
        except DeviceError as error:
            self._outbox.send(Lost(slot.direction, str(error)))
            return False
        return True

    def _beat(self) -> Heartbeat:
        streams = {slot.direction: slot.stream for slot in self._slots if slot.stream is not None}
        microphone, speaker = streams.get(Direction.INPUT), streams.get(Direction.OUTPUT)
        intake, deck = self._intake, self._deck
        return Heartbeat(
            captured=intake.captured if intake else 0,
            lost=intake.lost if intake else 0,
            unsent=self._outbox.dropped,
            overflows=microphone.xruns if microphone else 0,
            underflows=speaker.xruns if speaker else 0,
            underruns=deck.counts.underruns if deck else 0,
            failures=sum(stream.failures for stream in streams.values()),
            microphone_ppm=intake.ppm if intake else 0.0,
            speaker_ppm=speaker.clock.ppm if speaker else 0.0,
            prebuffer_s=deck.counts.prebuffer_s if deck else 0.0,
        )
