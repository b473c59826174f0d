"""What a demo has to report, as a JSON document and as a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

from appliance.conversation import Moment
from appliance.core.events import ReplyStarted
from appliance.core.latency import Latency, Stopwatch
from appliance.core.state import State
from appliance.demo import figures
from appliance.demo.accounting import Account
from appliance.demo.expected_uplink import ExpectedUplink
from appliance.demo.recorder import Recording
from appliance.demo.unsent import unsent_speech_s
from appliance.errors import ExitCode
from appliance.units import UPLINK, Seconds
from appliance.wake.ports import Detection


@dataclass(frozen=True, slots=True)
class Report:
    """One demo; `document` is what is written."""

    wake_detections: Sequence[Detection]
    turns: int
    interruptions: int
    uplink: Account | None
    """None where the service does not tell what it received."""
    captured: int
    unsent_speech_s: Seconds
    """Said in the conversation while nothing was let through."""
    latencies_ms: dict[Latency, tuple[float, ...]]
    states: Sequence[tuple[float, State]]
    trouble: str | None
    """One line, where something went wrong."""
    exit: ExitCode

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values; the README tells what they mean."""
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
            "trouble": self.trouble,
            "exit": int(self.exit),
        }

    def table(self) -> Table:
        """Return what people compare."""
        table = Table("figure", "value", box=None, pad_edge=False)
        words = ", ".join(
            f"{word.model} at {figures.seconds(word.end_sample / UPLINK.rate_hz)}" for word in self.wake_detections
        )
        table.add_row("wake word", words or "not heard")
        table.add_row("answers", str(self.turns))
        table.add_row("interruptions", str(self.interruptions))
        table.add_row("samples captured since the wake word", figures.samples(self.captured))
        if self.uplink:
            table.add_row("samples received by the service", figures.samples(self.uplink.received))
            table.add_row("samples lost", figures.samples(self.uplink.lost))
            table.add_row("samples duplicated", figures.samples(self.uplink.duplicated))
            if self.uplink.repeated:
                table.add_row("samples sent again on purpose", figures.samples(self.uplink.repeated))
        table.add_row("said while an answer played, and not sent", figures.seconds(self.unsent_speech_s))
        for latency, taken in self.latencies_ms.items():
            table.add_row(latency.value.replace("_", " "), ", ".join(map(figures.milliseconds, taken)) or "-")
        return table


def summed_up(
    recording: Recording,
    owed: ExpectedUplink,
    stopwatch: Stopwatch,
    uplink: Account | None,
    outcome: ExitCode,
    trouble: str | None,
) -> Report:
    """Return the report on a recording."""
    moments = recording.moments
    return Report(
        wake_detections=tuple(recording.detections),
        turns=sum(map(_admitted, moments)),
        interruptions=sum(moment.after.state is State.INTERRUPTED is not moment.before.state for moment in moments),
        uplink=uplink,
        captured=len(recording.captured(owed.spans)),
        unsent_speech_s=unsent_speech_s(recording.microphone(), owed.conversations, [*owed.spans, *owed.wake_words]),
        latencies_ms={latency: stopwatch.taken_ms(latency) for latency in Latency},
        states=recording.states(),
        trouble=trouble,
        exit=outcome,
    )


def _admitted(moment: Moment) -> bool:
    """Tell whether a reply that began was played: not one that came while the button was held."""
    return isinstance(moment.event, ReplyStarted) and moment.after.epoch == moment.event.epoch
