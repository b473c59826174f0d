"""The `appliance status` command: how the running appliance stands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.table import Column, Table

from appliance.audio.echo.modes import Aec
from appliance.console.output import show, show_json
from appliance.core.state import BargeIn
from appliance.errors import ExitCode, InputError
from appliance.service.control_client import send
from appliance.service.control_socket import StatusRequest
from appliance.service.status import DaemonStatus, EchoCancellationStatus, SoundCardStatus

WIDTH: Final = 80
"""Columns of the table, also where there is no terminal."""
_NAME_WIDTH: Final = 14
_UNITS: Final = (("day", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_BARGE_IN: Final = {
    BargeIn.VOICE: "by speaking, the wake word or the button",
    BargeIn.WAKE_WORD: "by the wake word or the button",
    BargeIn.BUTTON: "by the button",
}
_CANCELLER: Final = {
    "cold": "has not learnt the room yet: it does with the next answers",
    "converged": "taken out of what the microphone hears",
    "broken": "is back; the room is being learnt anew",
}
_NO_CANCELLER: Final = {
    "off": "none, or cancelled by the hardware; aec: off",
    "half-duplex": "not cancelled: what is said over an answer is not sent; aec: half-duplex",
}


def status_command(runtime: Path, *, as_json: bool) -> int:
    """Show how the daemon stands; return the exit code: `ExitCode.UNFIT` if something is broken.

    Raises:
        InputError: There is no daemon, or it does not answer.
    """
    response = send(runtime, StatusRequest())
    if response.status is None:
        raise InputError(f"the appliance does not answer: {response.why_not}", ExitCode.UNAVAILABLE)
    status = response.status
    if as_json:
        show_json(status.model_dump(mode="json"))
    else:
        show(_table(status))
    return ExitCode.UNFIT if status.faults else ExitCode.OK


def _table(status: DaemonStatus) -> Table:
    table = Table(
        Column(style="bold", width=_NAME_WIDTH),
        Column(max_width=WIDTH - _NAME_WIDTH - 2, overflow="fold"),
        box=None,
        pad_edge=False,
        show_header=False,
    )
    for name, text in _rows(status):
        table.add_row(name, text)
    return table


def _rows(status: DaemonStatus) -> Iterator[tuple[str, str]]:
    yield "state", f"{status.state.value}, for {duration(status.state_s)}"
    yield "", status.meaning
    for number, fault in enumerate(status.faults):
        yield "faults" if number == 0 else "", f"{fault.part.value}: {fault.reason or 'not working'}"
        yield "", fault.remedy
    if not status.faults:
        yield "faults", "none"
    for card in status.cards:
        yield card.direction, _card(card)
    yield "echo", _echo(status.echo)
    yield "interrupt it", _barge_in(status)
    yield "wake word", status.wake_word or "none: use the button"
    yield "version", f"{status.version}, running for {duration(status.running_s)}"


def _card(card: SoundCardStatus) -> str:
    return f"{card.name}, {card.rate_hz / 1000:g} kHz, {card.scheduling} scheduling"


def _barge_in(status: DaemonStatus) -> str:
    if status.barge_in is BargeIn.VOICE and not status.echo.cancelled:
        later = "" if status.echo.mode == Aec.HALF_DUPLEX.value else "; by speaking once the echo is taken out"
        return _BARGE_IN[BargeIn.WAKE_WORD] + later
    reason = f" ({status.barge_in_reason})" if status.barge_in_reason else ""
    return _BARGE_IN[status.barge_in] + reason


def _echo(echo: EchoCancellationStatus) -> str:
    if echo.state is None:
        return _NO_CANCELLER.get(echo.mode, f"not cancelled now, although it should be; aec: {echo.mode}")
    figures = [
        f"{echo.erle_db:.0f} dB weaker" if echo.erle_db is not None else None,
        f"delay {echo.delay_s * 1000:.0f} ms" if echo.delay_s is not None else None,
        f"clocks {echo.ppm:+.0f} ppm" if echo.ppm is not None else None,
        f"aec: {echo.mode}",
    ]
    return f"{_CANCELLER.get(echo.state, echo.state)}; {', '.join(figure for figure in figures if figure)}"


def duration(seconds: float) -> str:
    """Return a time in its two largest units: "3 h 12 min"."""
    rest, parts = int(seconds), []
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {unit}s" if unit == "day" and count > 1 else f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
