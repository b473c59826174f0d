"""The `appliance demo` command: hold one conversation, show it as it happens, report it."""

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
from appliance.audio.level import measure
from appliance.audio.ports import Block
from appliance.config.load import load
from appliance.config.schema import Log
from appliance.conversation import Moment
from appliance.core.events import LinkOpened
from appliance.core.latency import Stopwatch
from appliance.core.state import Context, State
from appliance.daemon import Appliance
from appliance.demo.accounting import Account, account
from appliance.demo.best_effort_stdout import BestEffortStdout
from appliance.demo.choices import Choices, choose
from appliance.demo.expected_uplink import ExpectedUplink
from appliance.demo.outputs import temporary_folder, write_output
from appliance.demo.recorder import Recording
from appliance.demo.report import Report, summed_up
from appliance.demo.servers import Service, world
from appliance.demo.show import Show, plain
from appliance.demo.timeline import Picture, draw
from appliance.errors import ApplianceError, ExitCode
from appliance.net.event_loop import HappyEyeballsLoop
from appliance.observers import Observers
from appliance.service.signals import stop_signals
from appliance.units import UPLINK, Pcm, Seconds
from appliance.wake.detector import rule_for
from appliance.wake.ports import Detection

LINGER_S: Final = 1.0
"""A word at the very end of a file is still noticed, and the sound at the end of a conversation still heard."""
PLAYERS: Final = ("aplay", "pw-play", "paplay", "ffplay")
"""Programs that play a WAV file; the first is in Debian's alsa-utils."""
OVER: Final = frozenset({State.IDLE, State.FAULT})


def demo_command(arguments: argparse.Namespace) -> int:
    """Hold the demo; return its exit code.

    Raises:
        ApplianceError: An option is of no use, a server does not start, or the report cannot be written.
    """
    choices = choose(arguments)
    # A device that fails is told by the demo itself.
    log.configure(Log(level="error")).addFilter(lambda record: getattr(record, "event", "") != "device.failed")
    with (
        redirect_stdout(BestEffortStdout(sys.stdout)),
        temporary_folder() as folder,
        asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner,
    ):
        report = runner.run(Demo(choices, folder, plain()).run())
    if report.trouble:
        severity = "error: " if report.exit else ""
        print(f"appliance: {severity}{report.trouble}", file=sys.stderr)
    return int(report.exit)


@dataclass(slots=True)
class Demo:
    """One demo, from its start to its report."""

    choices: Choices
    folder: Path
    """For what nobody wants to keep."""
    console: Console
    recording: Recording = field(default_factory=Recording)
    owed: ExpectedUplink = field(default_factory=ExpectedUplink)
    speaker_from: float = 0.0
    repeated: Callable[[], int] = lambda: 0
    """How many samples were sent again on purpose."""
    _show: Show = field(init=False)
    _holding: asyncio.Task[None] | None = None
    _appliance: Appliance | None = None
    _stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _ending: bool = False
    _stopped: bool = False
    """By somebody, before it was over."""
    _busy_until: int = 0
    """The newest microphone sample that was not captured at rest."""

    def __post_init__(self) -> None:
        self._show = Show(self.console, self.recording)

    @property
    def speaker(self) -> Path:
        """The file that is the speaker."""
        return self.choices.speaker if isinstance(self.choices.speaker, Path) else self.folder / "reply.wav"

    @property
    def records(self) -> Path:
        """Where the simulator writes what it received."""
        return self.folder / "records"

    async def run(self) -> Report:
        """Hold the conversation and write down how it was; a signal ends the one, not the other."""
        with self._ended_by_signals():
            async with asyncio.TaskGroup() as group:
                self._holding = group.create_task(self._hold())
            report = self.report()
            self.console.print(report.table())
            return self.write(report)

    async def _hold(self) -> None:
        """Start the servers and the daemon; return when the conversation is over."""
        choices = self.choices
        self.console.print("Starting the Live service and the provisioning server", style="dim")
        async with AsyncExitStack() as stack:
            overrides = await stack.enter_async_context(
                world(self.folder, choices.service, choices.mishap, choices.link_delay_s)
            )
            settings = load([], choices.overrides(self.speaker) | overrides).settings
            observers = Observers(
                on_moment=self._on_moment,
                on_block=self._on_block,
                on_detection=self._on_detection,
                on_scores=self.recording.on_scores,
                on_error=self._on_error,
                on_said=self._show.on_said,
                on_speaker=self._on_speaker,
            )
            self._appliance = appliance = await app.make(settings, observers)
            self.repeated = lambda: appliance.uplink.counts.repeated
            self._stopwatch = self._appliance.conversation.stopwatch
            await self._appliance.run()

    @contextmanager
    def _ended_by_signals(self) -> Iterator[None]:
        """End in order on SIGTERM, on Ctrl-C and when the terminal is closed."""
        with stop_signals(self._stop, self._break_off):
            yield

    def _stop(self) -> None:
        if self._ending:
            return
        self._stopped = True
        if self._appliance is not None:
            self._end()
        elif self._holding is not None:
            self._holding.cancel()

    def _break_off(self) -> None:
        """Wait for nothing more; the report is still written."""
        self._stopped = self._ending = True
        if self._holding is not None:
            self._holding.cancel()

    def _on_speaker(self, audible_at: Seconds) -> None:
        self.speaker_from = audible_at

    def _on_detection(self, word: Detection) -> None:
        self.recording.detections.append(word)
        self._show.on_detection(word)

    def _on_error(self, error: ApplianceError) -> None:
        self.recording.errors.append(error)
        self._show.on_error(error)

    def _on_moment(self, moment: Moment) -> None:
        self._show.on_moment(moment)
        self.recording.moments.append(moment)
        if self._appliance is not None:
            self.owed.on_moment(moment, self._appliance.ring.end)
        if moment.after.state is State.FAULT:
            self._end()

    def _on_block(self, block: Block) -> None:
        self.recording.on_block(block)
        if self._appliance is None or self._ending:
            return
        if self.recording.full:
            self._end()
        elif self._appliance.conversation.context.state not in OVER:
            self._busy_until = block.start
        elif block.start >= self._busy_until + UPLINK.frames(LINGER_S) and self._is_over(block):
            self._end()

    def _end(self) -> None:
        if self._appliance is not None and not self._ending:
            self._ending = True
            self._appliance.stop()

    def _is_over(self, block: Block) -> bool:
        """Tell at rest whether all is over: after trouble, a file's end, a device's conversation or silence."""
        if self.recording.errors:
            return True
        duration_s = self.choices.duration_s
        if duration_s is None:
            return bool(self.owed.spans) or block.start >= UPLINK.frames(self.choices.wait_s)
        return block.start >= UPLINK.frames(duration_s)

    def report(self) -> Report:
        """Sum up; exit 0 only where all went well, every sample having arrived once, or somebody stopped it."""
        received = self._received()
        captured = self.recording.captured(self.owed.spans)
        samples = None if received is None else account(captured, received).with_repeats(self.repeated())
        return summed_up(self.recording, self.owed, self._stopwatch, samples, *self._outcome(samples))

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
        if samples is None and self.choices.service is Service.SIMULATOR:
            return ExitCode.UNAVAILABLE, "the simulator has ended without a record of what it received: try again"
        if samples and samples.lost + samples.duplicated + samples.strange:
            return ExitCode.BUG, "not every sample reached the service once; please report this with the report"
        return ExitCode.OK, None

    def _nothing_heard(self) -> str:
        source = self.choices.microphone
        if measure(self.recording.microphone()).silent:
            return f"{source} is silent: is it the right recording, and was the microphone on?"
        return (
            f"the wake word {self.choices.wake} was not heard in {source}: "
            "try --wake with another word, or leave two seconds of silence before it"
        )

    def _received(self) -> Pcm | None:
        """Return what the simulator received, session by session; None where not every session has left a record."""
        opened = sum(isinstance(moment.event, LinkOpened) for moment in self.recording.moments)
        files = sorted(self.records.glob("session-*.wav"), key=lambda path: int(path.stem.rpartition("-")[2]))
        if self.choices.service is Service.GOOGLE or len(files) < opened:
            return None
        return np.concatenate([np.zeros(0, np.int16), *(_samples(path) for path in files)])

    def write(self, report: Report) -> Report:
        """Write the files that were asked for, the report last; return it with what could not be written.

        Raises:
            InputError: The report itself cannot be written.
        """
        choices = self.choices
        if choices.timeline is not None:
            try:
                self._draw(choices.timeline, report)
            except ApplianceError as error:
                report = replace(report, exit=report.exit or error.exit_code, trouble=report.trouble or str(error))
        if choices.report is not None:
            write_output(choices.report, (json.dumps(report.document(), indent=2) + "\n").encode())
        for path in choices.outputs:
            if path.exists():
                self.console.print(f"wrote {path}", style="dim", soft_wrap=True)
        if isinstance(choices.speaker, Path) and choices.speaker.exists():
            player = next((name for name in PLAYERS if shutil.which(name)), PLAYERS[0])
            self.console.print(f"to hear it: {player} {shlex.quote(str(choices.speaker))}", soft_wrap=True)
        return report

    def _draw(self, path: Path, report: Report) -> None:
        is_file = not isinstance(self.choices.speaker, str)
        picture = Picture(
            microphone=self.recording.microphone(),
            owed=self.owed.spans,
            received=report.uplink.received if report.uplink else None,
            scores=self.recording.scores,
            threshold=rule_for(self.choices.wake).threshold,
            detections=report.wake_detections,
            states=report.states,
            speaker=_samples(self.speaker) if is_file and self.speaker.exists() else np.zeros(0, np.int16),
            speaker_from=self.recording.since_start(Seconds(self.speaker_from)),
            latencies_ms=report.latencies_ms,
            trouble=report.trouble,
        )
        draw(picture, path)


def _no_answer(context: Context) -> str:
    reason = context.trouble.value if context.trouble else "for an unknown reason"
    return f"no answer could be had: {reason}"


def _samples(path: Path) -> Pcm:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")
