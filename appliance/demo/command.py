"""The `appliance demo` command: have one conversation, show its progress, report the result."""

import argparse
import asyncio
import json
import shlex
import shutil
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from appliance import app, log
from appliance.audio.echo.guard import LONGEST_S, REVERBERATION_S
from appliance.audio.level import measure
from appliance.audio.ports import Block
from appliance.config.load import load
from appliance.config.schema import LogSettings
from appliance.conversation import Moment
from appliance.core.events import LinkOpened
from appliance.core.latency import Stopwatch
from appliance.core.state import Context, State
from appliance.daemon import Appliance
from appliance.demo.accounting import Account, ExpectedUplink, account
from appliance.demo.options import DemoOptions, options_from
from appliance.demo.outputs import BestEffortStdout, temporary_directory, write_output
from appliance.demo.progress import ProgressPrinter, make_console
from appliance.demo.recorder import Recording
from appliance.demo.report import Report, make_report
from appliance.demo.room import PERSON, RoomRecord, RoomReport, read_record, room_report
from appliance.demo.servers import Service, run_room, run_servers
from appliance.demo.timeline import Picture, RoomLanes, draw
from appliance.errors import ApplianceError, ExitCode
from appliance.net.event_loop import HappyEyeballsLoop
from appliance.observers import Observers
from appliance.service.signals import stop_signals
from appliance.service.status import EchoCancellationStatus
from appliance.units import UPLINK, Pcm, Seconds
from appliance.wake.detector import rule_for
from appliance.wake.ports import Detection

LINGER_S: Final = 1.0
"""After the end of a file or conversation, so that a last wake word is detected and the last sound is played."""
PLAYERS: Final = ("aplay", "pw-play", "paplay", "ffplay")
"""Programs that play a WAV file; the first is in Debian's alsa-utils."""
ROOM_S: Final = 60.0
"""In a room, the end of a conversation that does not end by itself: the appliance may converse with its echo."""
AT_REST: Final = frozenset({State.IDLE, State.FAULT})


def demo_command(arguments: argparse.Namespace) -> int:
    """Run the demo; return its exit code.

    Raises:
        ApplianceError: An option cannot be used, a server does not start, or the report cannot be written.
    """
    options = options_from(arguments)
    # The demo itself reports a device that fails.
    log.configure(LogSettings(level="error")).addFilter(lambda record: getattr(record, "event", "") != "device.failed")
    with (
        redirect_stdout(BestEffortStdout(sys.stdout)),
        temporary_directory() as directory,
        asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner,
    ):
        report = runner.run(Demo(options, directory, make_console()).run())
    if report.trouble:
        severity = "error: " if report.exit else ""
        print(f"appliance: {severity}{report.trouble}", file=sys.stderr)
    return int(report.exit)


@dataclass(slots=True)
class Demo:
    """One demo, from its start to its report."""

    options: DemoOptions
    directory: Path
    """For temporary files."""
    console: Console
    recording: Recording = field(default_factory=Recording)
    expected: ExpectedUplink = field(default_factory=ExpectedUplink)
    speaker_from: float = 0.0
    repeated: Callable[[], int] = lambda: 0
    """Returns the number of samples resent on purpose."""
    _progress: ProgressPrinter = field(init=False)
    _conversation_task: asyncio.Task[None] | None = None
    _appliance: Appliance | None = None
    _stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _echo: EchoCancellationStatus | None = None
    """At the end, in a room."""
    _ending: bool = False
    _stopped: bool = False
    """By a signal, before it was over."""
    _busy_until: int = 0
    """Index of the newest microphone sample that was not captured at rest."""

    def __post_init__(self) -> None:
        self._progress = ProgressPrinter(self.console, self.recording)

    @property
    def speaker(self) -> Path:
        """The speaker's output file."""
        return self.options.speaker if isinstance(self.options.speaker, Path) else self.directory / "reply.wav"

    @property
    def room(self) -> Path:
        """The directory of what was at the jacks of the card in a room."""
        return self.directory / "room"

    @property
    def records(self) -> Path:
        """The simulator's records of what it received."""
        return self.directory / "records"

    async def run(self) -> Report:
        """Have the conversation, then report it; a signal ends only the conversation."""
        with self._stop_on_signals():
            async with asyncio.TaskGroup() as group:
                self._conversation_task = group.create_task(self._converse())
            report = self.report()
            self.console.print(report.table())
            return self.write(report)

    async def _converse(self) -> None:
        """Start the servers and the daemon; return when the conversation is over."""
        options = self.options
        self.console.print("Starting the Live service and the provisioning server", style="dim")
        async with AsyncExitStack() as stack:
            overrides = await stack.enter_async_context(
                run_servers(
                    self.directory,
                    options.service,
                    options.mishap,
                    options.link_delay_s,
                    voices_only=options.room_m is not None,
                )
            )
            if options.room_m is not None and isinstance(options.microphone, Path):
                await stack.enter_async_context(run_room(self.room, options.microphone, options.room_m))
            settings = load([], options.overrides(self.speaker) | overrides).settings
            observers = Observers(
                on_moment=self._on_moment,
                on_block=self._on_block,
                on_detection=self._on_detection,
                on_scores=self.recording.on_scores,
                on_voice=self.recording.on_voice,
                on_error=self._on_error,
                on_said=self._progress.on_said,
                on_speaker=self._on_speaker,
            )
            self._appliance = appliance = await app.make(settings, observers)
            self.repeated = lambda: appliance.uplink.counts.repeated
            self._stopwatch = self._appliance.conversation.stopwatch
            await self._appliance.run()

    @contextmanager
    def _stop_on_signals(self) -> Iterator[None]:
        """Stop on SIGTERM, on Ctrl-C and when the terminal is closed."""
        with stop_signals(self._stop, self._cancel):
            yield

    def _stop(self) -> None:
        if self._ending:
            return
        self._stopped = True
        if self._appliance is not None:
            self._end()
        elif self._conversation_task is not None:
            self._conversation_task.cancel()

    def _cancel(self) -> None:
        """Stop without waiting for the conversation; the report is still written."""
        self._stopped = self._ending = True
        if self._conversation_task is not None:
            self._conversation_task.cancel()

    def _on_speaker(self, audible_at: Seconds) -> None:
        self.speaker_from = audible_at

    def _on_detection(self, detection: Detection) -> None:
        self.recording.detections.append(detection)
        self._progress.on_detection(detection)

    def _on_error(self, error: ApplianceError) -> None:
        self.recording.errors.append(error)
        self._progress.on_error(error)

    def _on_moment(self, moment: Moment) -> None:
        self._progress.on_moment(moment)
        self.recording.moments.append(moment)
        if self._appliance is not None:
            self.expected.on_moment(moment, self._appliance.ring.end)
        if moment.after.state is State.FAULT:
            self._end()

    def _on_block(self, block: Block) -> None:
        self.recording.on_block(block)
        if self._appliance is None or self._ending:
            return
        if self.recording.full or (self.options.room_m is not None and block.start > UPLINK.frames(ROOM_S)):
            self._end()
        elif self._appliance.conversation.context.state not in AT_REST:
            self._busy_until = block.start
        elif block.start >= self._busy_until + UPLINK.frames(LINGER_S) and self._is_over(block):
            self._end()

    def _end(self) -> None:
        if self._appliance is not None and not self._ending:
            self._ending = True
            self._echo = self._appliance.status().echo
            self._appliance.stop()

    def _is_over(self, block: Block) -> bool:
        """Return whether the demo, at rest, is over: an error, the file's end, a device's conversation or silence."""
        if self.recording.errors:
            return True
        duration_s = self.options.duration_s
        if duration_s is None:
            return bool(self.expected.spans) or block.start >= UPLINK.frames(self.options.wait_s)
        return block.start >= UPLINK.frames(duration_s)

    def report(self) -> Report:
        """Return the report; exit code 0 only if every sample was received once, or a signal stopped the demo."""
        received = self._received()
        captured = self.recording.captured(self.expected.spans)
        samples = None if received is None else account(captured, received).with_repeats(self.repeated())
        if samples is not None and self.options.room_m is not None:
            samples = samples.with_echo(self.expected.after_replies * UPLINK.frames(LONGEST_S + REVERBERATION_S))
        report = make_report(self.recording, self.expected, self._stopwatch, samples, *self._outcome(samples))
        return replace(report, room=self._room_report())

    def _room_report(self) -> RoomReport | None:
        record, distance_m = self._room_record(), self.options.room_m
        if record is None or distance_m is None:
            return None
        return room_report(record, self.recording, distance_m, self._echo)

    def _room_record(self) -> RoomRecord | None:
        return read_record(self.room) if self.options.room_m is not None else None

    def _outcome(self, samples: Account | None) -> tuple[ExitCode, str | None]:
        if self.recording.errors:
            error = self.recording.errors[-1]
            return error.exit_code, str(error)
        if self._stopped:
            return ExitCode.OK, "stopped by a signal before it was over"
        if not self.recording.detections:
            return ExitCode.NOTHING_HEARD, self._nothing_heard()
        if silent := [moment.after for moment in self.recording.moments if moment.after.state is State.TROUBLE]:
            return ExitCode.UNAVAILABLE, _no_answer(silent[-1])
        if samples is None and self.options.service is Service.SIMULATOR:
            return ExitCode.UNAVAILABLE, "the simulator ended without a record of what it received: try again"
        if samples and samples.lost + samples.duplicated + samples.strange:
            return (
                ExitCode.BUG,
                "not every sample reached the service exactly once; please report this bug, with the report",
            )
        return ExitCode.OK, None

    def _nothing_heard(self) -> str:
        source = self.options.microphone
        if measure(self.recording.microphone()).silent:
            return f"{source} is silent: check that it is the right recording, and that the microphone was on"
        return (
            f"the wake word {self.options.wake} was not heard in {source}: "
            "try another one with --wake, or leave two seconds of silence before it"
        )

    def _received(self) -> Pcm | None:
        """Return the samples that the simulator received; None unless every session has a record."""
        opened = sum(isinstance(moment.event, LinkOpened) for moment in self.recording.moments)
        files = sorted(self.records.glob("session-*.wav"), key=lambda path: int(path.stem.rpartition("-")[2]))
        if self.options.service is Service.GOOGLE or len(files) < opened:
            return None
        return np.concatenate([np.zeros(0, np.int16), *(_samples(path) for path in files)])

    def write(self, report: Report) -> Report:
        """Write the output files, the report last; return it with the error of a timeline that cannot be written.

        Raises:
            InputError: The report cannot be written.
        """
        options = self.options
        heard = self.room / PERSON
        if isinstance(options.speaker, Path) and heard.exists():
            write_output(options.speaker, heard.read_bytes())
        if options.timeline is not None:
            try:
                self._draw(options.timeline, report)
            except ApplianceError as error:
                report = replace(report, exit=report.exit or error.exit_code, trouble=report.trouble or str(error))
        if options.report is not None:
            write_output(options.report, (json.dumps(report.document(), indent=2) + "\n").encode())
        for path in options.outputs:
            if path.exists():
                self.console.print(f"wrote {path}", style="dim", soft_wrap=True)
        if isinstance(options.speaker, Path) and options.speaker.exists():
            player = next((name for name in PLAYERS if shutil.which(name)), PLAYERS[0])
            self.console.print(f"to hear it: {player} {shlex.quote(str(options.speaker))}", soft_wrap=True)
        return report

    def _draw(self, path: Path, report: Report) -> None:
        record = self._room_record()
        picture = Picture(
            microphone=self.recording.microphone(),
            expected=self.expected.spans,
            received=report.uplink.received if report.uplink else None,
            scores=self.recording.scores,
            threshold=rule_for(self.options.wake).threshold,
            detections=report.wake_detections,
            states=report.states,
            speaker=self._speaker_samples(record),
            speaker_from=self.recording.since_start(Seconds(self.speaker_from) if record is None else record.begun_at),
            latencies_ms=report.latencies_ms,
            trouble=report.trouble,
            room=None if record is None else self._room_lanes(record),
        )
        draw(picture, path)

    def _speaker_samples(self, record: RoomRecord | None) -> Pcm:
        if record is not None:
            return record.speaker
        is_file = not isinstance(self.options.speaker, str)
        return _samples(self.speaker) if is_file and self.speaker.exists() else np.zeros(0, np.int16)

    def _room_lanes(self, record: RoomRecord) -> RoomLanes:
        since_start = self.recording.since_start
        return RoomLanes(
            microphone=record.microphone,
            microphone_from=since_start(record.begun_at),
            said=[(since_start(begin), since_start(end)) for begin, end in record.said],
            voice=[(one.end_sample / UPLINK.rate_hz, one.probability) for one in self.recording.voice],
            yieldings=[(since_start(moment.at), moment.after.yielding) for moment in self.recording.moments],
        )


def _no_answer(context: Context) -> str:
    reason = context.trouble.value if context.trouble else "for an unknown reason"
    return f"no answer: {reason}"


def _samples(path: Path) -> Pcm:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")
