"""Keeps one audio worker running, and offers its cards to the daemon as a microphone and a speaker.

Notices within a quarter of a second that a worker has stopped, and starts another one; keeps the microphone's index in
step with time across workers, and lets replies resume on the speaker. Replacing a worker is not a fault, only a pause;
a missing card is one. Loop thread.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from operator import gt
from typing import Final

from appliance import log
from appliance.audio.cards.devices import Direction
from appliance.audio.echo.status import EchoStatus
from appliance.audio.ports import Block, PlaybackSink, PlayedPeriod
from appliance.audio.worker.card_status import CardStatus
from appliance.audio.worker.messages import (
    Complete,
    Duck,
    Flush,
    Gain,
    Heartbeat,
    Lost,
    Message,
    Opened,
    Order,
    PeriodIncreased,
    QueueSamples,
    Refused,
    Scheduling,
    Sound,
    WorkerConfig,
    WorkerExit,
    pieces,
)
from appliance.audio.worker.process import WorkerProcess, start
from appliance.clock import loop_time
from appliance.units import UPLINK, Pcm, SampleIndex, Seconds

COMMAND: Final = (sys.executable, "-m", "appliance.audio.worker")
REPORT_TIMEOUT_S: Final = 0.2
"""Longest silence of a worker, which sends a heartbeat every 0.05 s."""
ORDINARY_REPORT_TIMEOUT_S: Final = 1.0
"""The same where it has no real-time priority, or no card yet: a busy CPU may delay it."""
STARTUP_TIMEOUT_S: Final = 20.0
"""Longest time until its first report: after a cold start, a small Pi reads it slowly from the memory card."""
CHECK_S: Final = 0.05
STABLE_S: Final = 5.0
"""A worker that ran this long is replaced at once when it ends."""
LOSS_LOG_S: Final = 60.0
"""Least time between two log lines about losses."""
FAULT_AFTER: Final = 3
"""Silent workers in a row before a fault is raised; restarts continue."""
FIRST_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 10.0
NO_LOSSES: Final = (0, 0, 0)


class WorkerSupervisor:
    """Both cards, through a worker process; `run` keeps it running."""

    def __init__(self, config: WorkerConfig, command: Sequence[str] = COMMAND) -> None:
        self._config = config
        self._command = tuple(command)
        self._process: WorkerProcess | None = None
        self._cards = {direction: CardStatus(direction) for direction in Direction}
        self._started_at: float | None = None
        """When the running worker sent its first heartbeat."""
        self._logged, self._logged_at = NO_LOSSES, -inf
        """The newest losses that were logged, and when."""
        self._is_real_time = False
        self.heartbeat = Heartbeat()
        """The newest of the running worker."""
        self.echo: EchoStatus | None = None
        """State of the running worker's echo canceller; None: it has none."""
        self._newest_echo: EchoStatus | None = None
        """The status that came since the newest heartbeat: after a failure, none does."""
        self.workers = 0
        """Workers started so far."""
        self.microphone = WorkerMicrophone(self._cards[Direction.INPUT])
        self.speaker = WorkerSpeaker(self._cards[Direction.OUTPUT], self._send, self.replace)

    @property
    def pid(self) -> int | None:
        """Process id of the worker, if one runs."""
        return self._process.pid if self._process else None

    @property
    def cards(self) -> tuple[Opened, ...]:
        """The cards that run."""
        return tuple(card.running for card in self._cards.values() if card.running is not None)

    async def run(self) -> None:
        """Keep a worker running until cancelled; pause before the next one where several end soon."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            code = await self._serve()
            ran_s = -1.0 if self._started_at is None else loop.time() - self._started_at
            if code == WorkerExit.NEW_CARD or ran_s > STABLE_S:
                failures = 0
                continue
            failures += 1
            pause_s = min(FIRST_PAUSE_S * 2 ** (failures - 2), MAX_PAUSE_S) if failures > 1 else 0.0
            if ran_s < 0 and failures >= FAULT_AFTER:
                for card in self._cards.values():
                    card.refuse("the audio worker does not start: see the journal")
            if ran_s < 0:
                log.event("audio.worker-failed", level="error", code=code, pause_s=pause_s)
            await asyncio.sleep(pause_s)

    async def opened(self, direction: Direction) -> Opened:
        """Wait until a card runs; raises the direction's error where it cannot."""
        return await self._cards[direction].opened()

    def replace(self) -> None:
        """Replace the worker by another one."""
        if self._process is not None:
            self._process.kill()

    async def _serve(self) -> int | None:
        """Run one worker to its end; return its exit code."""
        self._started_at, self._is_real_time, self._logged = None, False, NO_LOSSES
        self.echo = self._newest_echo = None
        self.workers += 1
        process = start(self._command, self._config.document(), self._take)
        self._process = process
        code: int | None = None
        try:
            await self._watch(process)
        finally:
            self._process = None
            code = await process.end()
            for card in self._cards.values():
                if card.running is not None:
                    card.lose()
            self.speaker.disconnect()
        return code

    async def _watch(self, process: WorkerProcess) -> None:
        """Return when it has ended, or was killed because it was silent for too long."""
        loop, ended = asyncio.get_running_loop(), False
        while not ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await process.ended()
                    ended = True
            process.read()  # a report that this process reads late was not sent late
            limit_s = self._report_timeout_s()
            if loop.time() - process.last_report_at > limit_s:
                process.kill()
                log.event("audio.silent", level="warning", after_s=limit_s)
                return

    def _report_timeout_s(self) -> float:
        if self._started_at is None:
            return STARTUP_TIMEOUT_S
        return REPORT_TIMEOUT_S if self._is_real_time else ORDINARY_REPORT_TIMEOUT_S

    def _send(self, order: Order) -> None:
        if self._process is not None:
            self._process.send(order)

    def _take(self, report: Message) -> None:
        match report:
            case Block():
                self.microphone.take(report)
            case PlayedPeriod():
                self.speaker.played(report)
            case EchoStatus():
                self.echo = self._newest_echo = report
            case Heartbeat():
                self.speaker.heartbeat()
                self._take_heartbeat(report)
            case Opened():
                self._opened(report)
            case Refused(direction=direction, text=text):
                self._cards[direction].refuse(text)
            case Lost(direction=direction, text=text):
                log.event("audio.lost", level="warning", device=direction.noun, reason=text)
            case PeriodIncreased(period_ms=period_ms):
                self._config = replace(self._config, period_ms=period_ms)  # for later workers too
                log.event("audio.period-stepped", level="warning", period_ms=period_ms)

    def _take_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Note that the worker is alive, and log losses."""
        now = loop_time()
        if self._started_at is None:
            self._started_at = now
        self.heartbeat = heartbeat
        self.echo, self._newest_echo = self._newest_echo, None
        lost, unsent, failures = losses = heartbeat.lost, heartbeat.unsent, heartbeat.failures
        if any(map(gt, losses, self._logged)) and now >= self._logged_at + LOSS_LOG_S:
            self._logged, self._logged_at = losses, now
            log.event("audio.losing", level="warning", lost=lost, unsent=unsent, failures=failures)

    def _opened(self, report: Opened) -> None:
        self._is_real_time = report.scheduling is Scheduling.REAL_TIME
        self._cards[report.direction].open(report)
        if report.direction is Direction.OUTPUT:
            self.speaker.connect(report.audible_at)
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


class WorkerMicrophone:
    """Implements `ports.Microphone`; indices keep in step with time across workers."""

    def __init__(self, card: CardStatus) -> None:
        self._card = card
        self._on_block: Callable[[Block], None] | None = None
        self._base = 0
        self._next_of_worker = SampleIndex(0)
        self._end: tuple[SampleIndex, Seconds] | None = None
        """Index after the newest sample, and when that was captured."""

    @property
    def ready(self) -> bool:
        """Whether the card runs."""
        return self._card.running is not None

    async def run(self, on_block: Callable[[Block], None]) -> None:
        """See `ports.Microphone`; samples lost between two workers are a jump of `Block.start`."""
        self._on_block = on_block
        try:
            await self._card.failed()
        finally:
            self._on_block = None

    def take(self, block: Block) -> None:
        """Deliver a block whose index counts from the worker's first sample."""
        if block.start < self._next_of_worker or self._end is None:
            self._rebase(block)
        self._next_of_worker = SampleIndex(block.start + len(block.samples))
        start = SampleIndex(self._base + block.start)
        self._end = (SampleIndex(start + len(block.samples)), block.captured_at)
        if self._on_block is not None:
            self._on_block(replace(block, start=start))

    def _rebase(self, block: Block) -> None:
        """Continue at the index that matches the time: another worker counts from zero."""
        if self._end is None:
            self._base = -block.start
            return
        index, at = self._end
        began_at = block.captured_at - UPLINK.duration(len(block.samples))
        self._base = index + max(0, UPLINK.frames(began_at - at)) - block.start


class WorkerSpeaker:
    """Implements `ports.Speaker`, and `ports.Mixer` for the running worker."""

    def __init__(self, card: CardStatus, send: Callable[[Order], None], replace_worker: Callable[[], None]) -> None:
        self._card = card
        self._send = send
        self._replace_worker = replace_worker
        self._playback: PlaybackSink | None = None
        self._connected = False

    @property
    def ready(self) -> bool:
        """Whether the card runs."""
        return self._card.running is not None

    async def run(self, playback: PlaybackSink) -> None:
        """See `ports.Speaker`."""
        self._playback = playback
        if self._card.running is not None:
            self.connect(self._card.running.audible_at)
        try:
            await self._card.failed()
        finally:
            if self._connected:
                self._replace_worker()  # its mixer holds samples of this playback
            self.disconnect()
            self._playback = None

    # Reports of the worker

    def connect(self, audible_at: Seconds) -> None:
        """Connect playback: a worker's speaker runs."""
        if self._playback is not None and not self._connected:
            self._connected = True
            self._playback.connect(self, audible_at)

    def played(self, period: PlayedPeriod) -> None:
        """Pass on a period that was played."""
        if self._playback is not None and self._connected:
            self._playback.played(period)

    def heartbeat(self) -> None:
        """Pass on that the worker is alive."""
        if self._playback is not None and self._connected:
            self._playback.heartbeat()

    def disconnect(self) -> None:
        """Disconnect playback: the worker is gone."""
        if self._playback is not None and self._connected:
            self._connected = False
            self._playback.disconnect()

    # Orders of playback: see `ports.Mixer`.

    def queue(self, samples: Pcm) -> None:
        """Send samples of a reply."""
        for piece in pieces(samples):
            self._send(QueueSamples(piece))

    def complete(self) -> None:
        """Send that the reply is complete."""
        self._send(Complete())

    def flush(self) -> None:
        """Send a flush."""
        self._send(Flush())

    def duck(self, *, ducked: bool) -> None:
        """See `ports.Mixer`."""
        self._send(Duck(ducked))

    def play_sound(self, samples: Pcm) -> None:
        """Send a sound."""
        *first, last = pieces(samples) or [samples]
        for piece in first:
            self._send(Sound(piece, is_last=False))
        self._send(Sound(last, is_last=True))

    def set_gain(self, gain: float) -> None:
        """Send the gain."""
        self._send(Gain(gain))
