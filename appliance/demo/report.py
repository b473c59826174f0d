"""The demo's report, as a JSON document and as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from appliance.conversation import Moment
from appliance.core.events import ReplyStarted
from appliance.core.latency import Latency, Stopwatch
from appliance.core.state import State
from appliance.demo.accounting import Account, ExpectedUplink, unsent_speech_s
from appliance.demo.recorder import Recording
from appliance.demo.room import RoomReport
from appliance.errors import ExitCode
from appliance.units import UPLINK, Seconds
from appliance.wake.ports import Detection


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one demo."""

    wake_detections: Sequence[Detection]
    turns: int
    interruptions: int
    uplink: Account | None
    """None if the service does not record what it receives."""
    captured: int
    unsent_speech_s: Seconds
    """Speech during the conversation while nothing was to be sent."""
    latencies_ms: dict[Latency, tuple[float, ...]]
    states: Sequence[tuple[float, State]]
    trouble: str | None
    """One line if something went wrong."""
    exit: ExitCode
    room: RoomReport | None = None
    """None without a room, or if that ended without a record."""

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values, explained in docs/demo.md."""
        account = self.uplink
        return {
            "wake_detections": [asdict(detection) for detection in self.wake_detections],
            "turns": self.turns,
            "interruptions": self.interruptions,
            "uplink": {
                "samples_captured_since_wake": self.captured,
                "samples_received_by_service": account.received if account else None,
                "lost": account.lost if account else None,
                "duplicated": account.duplicated if account else None,
                "echo": account.echo if account else None,
                "repeated": account.repeated if account else None,
                "strange": account.strange if account else None,
                "unsent_speech_s": self.unsent_speech_s,
            },
            "latency_ms": {
                latency.value: round(median(taken), 1) if taken else None
                for latency, taken in self.latencies_ms.items()
            },
            "latency_each_ms": {
                latency.value: [round(ms, 1) for ms in taken] for latency, taken in self.latencies_ms.items()
            },
            "states": [[round(at, 3), state.value] for at, state in self.states],
            "room": self.room.document() if self.room else None,
            "trouble": self.trouble,
            "exit": int(self.exit),
        }

    def table(self) -> Table:
        """Return the main figures as a table."""
        table = Table("figure", "value", box=None, pad_edge=False)
        words = ", ".join(f"{word.model} at {word.end_sample / UPLINK.rate_hz:.2f} s" for word in self.wake_detections)
        table.add_row("wake word", words or "not heard")
        table.add_row("answers", str(self.turns))
        table.add_row("interruptions", str(self.interruptions))
        for name, value in self.room.rows() if self.room else ():
            table.add_row(name, value)
        table.add_row("samples captured since the wake word", f"{self.captured:,}")
        if self.uplink:
            table.add_row("samples received by the service", f"{self.uplink.received:,}")
            table.add_row("samples lost", f"{self.uplink.lost:,}")
            table.add_row("samples duplicated", f"{self.uplink.duplicated:,}")
            if self.uplink.echo:
                table.add_row("samples of echo, not sent", f"{self.uplink.echo:,}")
            if self.uplink.repeated:
                table.add_row("samples resent on purpose", f"{self.uplink.repeated:,}")
        table.add_row("speech during answers, not sent", f"{self.unsent_speech_s:.2f} s")
        for latency, taken in self.latencies_ms.items():
            table.add_row(latency.value.replace("_", " "), ", ".join(f"{ms:.0f} ms" for ms in taken) or "-")
        return table


def make_report(
    recording: Recording,
    expected: ExpectedUplink,
    stopwatch: Stopwatch,
    uplink: Account | None,
    outcome: ExitCode,
    trouble: str | None,
) -> Report:
    """Return the report on a recorded demo."""
    moments = recording.moments
    return Report(
        wake_detections=tuple(recording.detections),
        turns=sum(map(_reply_played, moments)),
        interruptions=sum(moment.after.state is State.INTERRUPTED is not moment.before.state for moment in moments),
        uplink=uplink,
        captured=len(recording.captured(expected.spans)),
        unsent_speech_s=unsent_speech_s(
            recording.microphone(), expected.conversations, [*expected.spans, *expected.wake_words]
        ),
        latencies_ms={latency: stopwatch.durations_ms(latency) for latency in Latency},
        states=recording.states(),
        trouble=trouble,
        exit=outcome,
    )


def _reply_played(moment: Moment) -> bool:
    """Return whether a reply started to play; one that comes while the button is held does not."""
    return isinstance(moment.event, ReplyStarted) and moment.after.epoch == moment.event.epoch
