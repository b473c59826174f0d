"""The daemon's half of the audio engine: keeps one audio worker running, whatever becomes of it.

Responsible for noticing within a quarter of a second that a worker has stopped, for starting another one, for a
microphone whose index keeps in step with time across workers, and for a speaker on which replies go on. A worker that
is replaced is no fault, only a pause; a card that is not there is one. Loop thread.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Final

from appliance import log
from appliance.audio.cards.devices import Direction
from appliance.audio.ports import Block, PlaybackSink
from appliance.audio.worker.messages import (
    Captured,
    Complete,
    Flush,
    Gain,
    Heartbeat,
    Lost,
    Message,
    Opened,
    Order,
    Part,
    PeriodIncreased,
    Played,
    QueueSamples,
    Refused,
    Scheduling,
    Sound,
    WorkerConfig,
    WorkerExit,
    pieces,
)
from appliance.audio.worker.process import WorkerProcess, start
from appliance.units import UPLINK, Pcm, SampleIndex, Seconds

COMMAND: Final = (sys.executable, "-m", "appliance.audio.worker")
SILENT_S: Final = 0.2
"""A worker says something every 0.05 s."""
SILENT_UNSURE_S: Final = 1.0
"""Where it has no real-time priority, or no card yet, a busy CPU may keep it from that."""
STARTING_S: Final = 20.0
"""The longest that it may take to say its first word: after a cold start, a small Pi reads from its card for long."""
LOOK_S: Final = 0.05
PATIENCE_S: Final = 2.0
"""A card that has run, and is neither there nor refused for so long, has failed."""
FIRST_PATIENCE_S: Final = 8.0
"""One that has not run yet: the first worker may be slow to start."""
STABLE_S: Final = 5.0
"""A worker that lived so long was a good one."""
LOSSES_S: Final = 60.0
"""What it loses is told no more often."""
GIVEN_UP_AFTER: Final = 3
"""So many that said nothing, one after the other, are a fault; they are tried on."""
FIRST_PAUSE_S: Final = 0.25
LAST_PAUSE_S: Final = 10.0


class _Side:
    """What is known of one direction's card."""

    def __init__(self, direction: Direction) -> None:
        self._direction = direction
        self._changed = asyncio.Event()
        self._complained = False
        self._patience_s = FIRST_PATIENCE_S
        self.running: Opened | None = None
        self.refusal: str | None = None

    def open(self, opened: Opened) -> None:
        """It runs."""
        self.running, self.refusal, self._complained = opened, None, False
        self._patience_s = PATIENCE_S
        self._changed.set()

    def refuse(self, text: str) -> None:
        """It cannot be opened now."""
        self.running, self.refusal = None, text
        self._changed.set()

    def lose(self) -> None:
        """It runs no more; another worker may bring it back."""
        self.running, self.refusal = None, None
        self._changed.set()

    async def opened(self) -> Opened:
        """Wait until it runs; raise the direction's error where it cannot."""
        while self.running is None:
            self._changed.clear()
            if self.refusal is not None:
                self._complain(self.refusal)
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._changed.wait()
            except TimeoutError:
                self._complain(self._late())
        return self.running

    async def failed(self) -> None:
        """Run as long as the card does, or comes back soon; raise the direction's error once each time that it fails.

        Called again after that, it waits for the card's return, and for the next failure.
        """
        while True:
            self._changed.clear()
            unknown = self.running is None and self.refusal is None
            if self.refusal is not None and not self._complained:
                self._complain(self.refusal)
            try:
                async with asyncio.timeout(self._patience_s if unknown and not self._complained else None):
                    await self._changed.wait()
            except TimeoutError:
                self._complain(self._late())

    def _late(self) -> str:
        return f"the {self._direction.noun} does not come up; the journal may say why"

    def _complain(self, text: str) -> None:
        self._complained = True
        raise self._direction.error(text)


class WorkerSupervisor:
    """Both cards, through a worker process; `run` keeps it running."""

    def __init__(self, wanted: WorkerConfig, command: Sequence[str] = COMMAND) -> None:
        self._wanted = wanted
        self._command = tuple(command)
        self._child: WorkerProcess | None = None
        self._sides = {direction: _Side(direction) for direction in Direction}
        self._worked_at: float | None = None
        """When the worker that runs gave its first sign of life."""
        self._told, self._told_at = Heartbeat(), -inf
        """The newest losses that the journal has, and since when."""
        self._sure = False
        self.beat = Heartbeat()
        """The newest of the worker that runs."""
        self.workers = 0
        """Started so far."""
        self.microphone = WorkerMicrophone(self._sides[Direction.INPUT])
        self.speaker = WorkerSpeaker(self._sides[Direction.OUTPUT], self._send, self.replace)

    @property
    def pid(self) -> int | None:
        """Of the worker, if one runs."""
        return self._child.pid if self._child else None

    async def run(self) -> None:
        """Keep a worker running until cancelled: another one at once, and ever later ones while they end soon."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            code = await self._serve()
            worked = self._worked_at is not None
            if code == WorkerExit.AGAIN or (self._worked_at is not None and loop.time() - self._worked_at > STABLE_S):
                failures = 0
                continue
            failures += 1
            pause_s = min(FIRST_PAUSE_S * 2 ** (failures - 2), LAST_PAUSE_S) if failures > 1 else 0.0
            if not worked:
                log.event("audio.worker-failed", level="error", code=code, pause_s=pause_s)
            if not worked and failures >= GIVEN_UP_AFTER:
                for side in self._sides.values():
                    side.refuse("the audio worker does not start: the journal says why")
            await asyncio.sleep(pause_s)

    async def opened(self, direction: Direction) -> Opened:
        """Wait until a card runs; raises the direction's error where it cannot."""
        return await self._sides[direction].opened()

    def replace(self) -> None:
        """Have another worker instead of this one."""
        if self._child is not None:
            self._child.kill()

    async def _serve(self) -> int | None:
        """Run one worker to its end; return its exit code."""
        self._worked_at, self._sure, self._told = None, False, Heartbeat()
        self.workers += 1
        child = start(self._command, self._wanted.document(), self._take)
        self._child = child
        code: int | None = None
        try:
            await self._watch(child)
        finally:
            self._child = None
            code = await child.end()
            for side in self._sides.values():
                if side.running is not None:
                    side.lose()
            self.speaker.disconnect()
        return code

    async def _watch(self, child: WorkerProcess) -> None:
        """Return when it has ended, or said nothing for too long."""
        loop, ended = asyncio.get_running_loop(), False
        while not ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await child.ended()
                    ended = True
            child.read()  # what this process was too late to read was not said too late
            limit_s = (SILENT_S if self._sure else SILENT_UNSURE_S) if self._worked_at is not None else STARTING_S
            if loop.time() - child.heard_at > limit_s:
                log.event("audio.silent", level="warning", after_s=limit_s)
                return

    def _send(self, order: Order) -> None:
        if self._child is not None:
            self._child.send(order)

    def _take(self, report: Message) -> None:
        match report:
            case Captured():
                self.microphone.take(report)
            case Played():
                self.speaker.played(report)
            case Heartbeat():
                self._beat(report)
                self.speaker.beat()
            case Opened():
                self._opened(report)
            case Refused(direction=direction, text=text):
                self._sides[direction].refuse(text)
            case Lost(direction=direction, text=text):
                log.event("audio.lost", level="warning", device=direction.noun, reason=text)
            case PeriodIncreased(period_ms=period_ms):
                log.event("audio.period-stepped", level="warning", period_ms=period_ms)
                self._wanted = replace(self._wanted, period_ms=period_ms)  # also of the workers to come

    def _beat(self, beat: Heartbeat) -> None:
        """Note that the worker lives, and tell if it loses anything."""
        now = asyncio.get_running_loop().time()
        if self._worked_at is None:
            self._worked_at = now
        self.beat, told = beat, self._told
        loses = beat.lost > told.lost or beat.unsent > told.unsent or beat.failures > told.failures
        if loses and now >= self._told_at + LOSSES_S:
            self._told, self._told_at = beat, now
            log.event("audio.losing", level="warning", lost=beat.lost, unsent=beat.unsent, failures=beat.failures)

    def _opened(self, report: Opened) -> None:
        self._sure = report.scheduling is Scheduling.REAL_TIME
        log.event(
            "audio.opened",
            device=report.direction.noun,
            label=report.label,
            rate_hz=report.rate_hz,
            channels=report.channels,
            period=report.period,
            buffer_ms=round(report.buffer_s * 1000, 1),
            scheduling=report.scheduling.value,
        )
        self._sides[report.direction].open(report)
        if report.direction is Direction.OUTPUT:
            self.speaker.connect(report.at)


class WorkerMicrophone:
    """Implements `ports.Microphone`; indices keep in step with time across workers."""

    def __init__(self, side: _Side) -> None:
        self._side = side
        self._on_block: Callable[[Block], None] | None = None
        self._base = 0
        self._next_of_worker = SampleIndex(0)
        self._end: tuple[SampleIndex, Seconds] | None = None
        """Index after the newest sample, and when that was captured."""

    @property
    def ready(self) -> bool:
        """Whether the card runs."""
        return self._side.running is not None

    async def run(self, on_block: Callable[[Block], None]) -> None:
        """See `ports.Microphone`; what is lost between two workers is a jump of `Block.start`."""
        self._on_block = on_block
        try:
            await self._side.failed()
        finally:
            self._on_block = None

    def take(self, captured: Captured) -> None:
        """Hand on what a worker has captured."""
        if captured.start < self._next_of_worker or self._end is None:
            self._rebase(captured)
        self._next_of_worker = SampleIndex(captured.start + len(captured.samples))
        start = SampleIndex(self._base + captured.start)
        self._end = (SampleIndex(start + len(captured.samples)), captured.captured_at)
        if self._on_block is not None:
            self._on_block(Block(start, captured.samples, captured.captured_at))

    def _rebase(self, captured: Captured) -> None:
        """Go on at the index that belongs to the moment: another worker counts from zero."""
        if self._end is None:
            self._base = -captured.start
            return
        index, at = self._end
        began_at = captured.captured_at - UPLINK.duration(len(captured.samples))
        self._base = index + max(0, UPLINK.frames(began_at - at)) - captured.start


class WorkerSpeaker:
    """Implements `ports.Speaker`, and `ports.Deck` for the worker that runs."""

    def __init__(self, side: _Side, send: Callable[[Order], None], replace: Callable[[], None]) -> None:
        self._side = side
        self._send = send
        self._replace = replace
        self._playback: PlaybackSink | None = None
        self._connected = False

    @property
    def ready(self) -> bool:
        """Whether the card runs."""
        return self._side.running is not None

    async def run(self, playback: PlaybackSink) -> None:
        """See `ports.Speaker`."""
        self._playback = playback
        if self._side.running is not None:
            self.connect(self._side.running.at)
        try:
            await self._side.failed()
        finally:
            if self._connected:
                self._replace()  # its deck holds what this playback gave it
            self.disconnect()
            self._playback = None

    # What the worker reports

    def connect(self, audible_at: Seconds) -> None:
        """A worker's speaker runs."""
        if self._playback is not None and not self._connected:
            self._connected = True
            self._playback.connect(self, audible_at)

    def played(self, played: Played) -> None:
        """A period was played."""
        if self._playback is not None and self._connected:
            self._playback.pulled(played.pulled)

    def beat(self) -> None:
        """The worker lives."""
        if self._playback is not None and self._connected:
            self._playback.beat()

    def disconnect(self) -> None:
        """The worker is gone."""
        if self._playback is not None and self._connected:
            self._connected = False
            self._playback.disconnect()

    # What playback orders: see `ports.Deck`.

    def load(self, samples: Pcm) -> None:
        """Send samples of a reply."""
        for piece in pieces(samples):
            self._send(QueueSamples(piece))

    def complete(self) -> None:
        """Send that the reply has no more."""
        self._send(Complete())

    def cut(self) -> None:
        """Send that all is stale."""
        self._send(Flush())

    def sound(self, samples: Pcm) -> None:
        """Send a sound."""
        *first, last = pieces(samples) or [samples]
        for piece in first:
            self._send(Sound(Part.MORE, piece))
        self._send(Sound(Part.LAST, last))

    def set_gain(self, gain: float) -> None:
        """Send the gain."""
        self._send(Gain(gain))
