"""Draws a demo on one time axis: microphone, wake score, state, speaker, latencies."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Final

import numpy as np

from appliance.core.latency import Latency
from appliance.core.state import State, Yielding
from appliance.demo.accounting import Span
from appliance.demo.outputs import write_output
from appliance.errors import ApplianceError, ExitCode
from appliance.indicator.patterns import PATTERNS, Motion, Pattern
from appliance.units import REPLY, UPLINK, AudioFormat, Pcm
from appliance.wake.ports import Detection, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNLIT: Final = 0.13
"""Grey level of the background."""
_FAINT: Final = 0.25
"""Minimum brightness of a light in the picture, so that a faint one is visible."""


def _colour(pattern: Pattern) -> tuple[float, float, float]:
    """Return the colour of a light against the grey background."""
    level = 0.0 if pattern.motion is Motion.OFF else max(pattern.high, _FAINT)
    red, green, blue = (_UNLIT + (1 - _UNLIT) * level * part for part in pattern.colour.value)
    return red, green, blue


COLOURS: Final = {state: _colour(pattern) for state, pattern in PATTERNS.items()}
"""Colours in the strip that shows the light."""
_WARNING: Final = "#a02622"
_INK: Final = "#333333"
_LUMINANCE: Final = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue in luminance (ITU-R BT.709)."""
_PARTS_IN_A_LINE: Final = 5
_COLUMNS: Final = 2400
"""Maximum number of vertical strokes in a waveform."""


_HEIGHTS: Final = {"microphone": 2.8, "wake": 1.5, "state": 1.0, "speaker": 2.8}
_HEIGHTS_IN_A_ROOM: Final = {
    "heard": 2.0,
    "microphone": 2.0,
    "voice": 1.2,
    "wake": 1.2,
    "state": 0.9,
    "gain": 1.2,
    "speaker": 2.0,
}
"""Lanes from top to bottom, in inches."""
_DUCKED_DB: Final = -18.0
_SILENT_DB: Final = -40.0
"""Where a paused reply is drawn."""
_GAINS_DB: Final = {Yielding.NONE: 0.0, Yielding.DUCKED: _DUCKED_DB, Yielding.PAUSED: _SILENT_DB}


@dataclass(frozen=True, slots=True)
class RoomLanes:
    """Parts of the picture that only a demo in a room has."""

    microphone: Pcm
    """With echo, 16 kHz mono."""
    microphone_from: float
    said: Sequence[tuple[float, float]]
    """When the person was heard."""
    voice: Sequence[tuple[float, float]]
    """When, and how sure the voice detector was that somebody speaks."""
    yieldings: Sequence[tuple[float, Yielding]]
    """From when on, how far the reply makes way."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The data to draw; times in seconds since the first microphone sample."""

    microphone: Pcm
    expected: Sequence[Span]
    """The spans of the microphone stream that were to be sent."""
    received: int | None
    """Samples that the service received; None if unknown."""
    scores: Sequence[Score]
    threshold: float
    detections: Sequence[Detection]
    states: Sequence[tuple[float, State]]
    speaker: Pcm
    speaker_from: float
    """When the speaker's first sample was played."""
    latencies_ms: dict[Latency, tuple[float, ...]]
    trouble: str | None
    """One line if something went wrong."""
    room: RoomLanes | None = None


class DrawingError(ApplianceError):
    """The picture cannot be drawn."""

    code = "cannot-draw"
    exit_code = ExitCode.CANNOT_WRITE


def check_picture(path: Path) -> None:
    """Raise DrawingError if the picture cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise DrawingError("the timeline needs matplotlib: install voice-appliance[demo], or omit --timeline")
    if path.suffix != ".png":
        raise DrawingError(f"{path}: the timeline is a PNG file: choose a name ending in .png")


def draw(picture: Picture, path: Path) -> None:
    """Write the picture as PNG.

    Raises:
        DrawingError: matplotlib is not installed.
        InputError: The file cannot be written.
    """
    check_picture(path)
    from matplotlib.figure import Figure  # noqa: PLC0415

    heights = _HEIGHTS if picture.room is None else _HEIGHTS_IN_A_ROOM
    figure = Figure(figsize=(15, sum(heights.values())), dpi=110, layout="constrained")
    lanes = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights.values()))
    axes = dict(zip(heights, lanes, strict=True))
    end_s = len(picture.microphone) / UPLINK.rate_hz
    if picture.room is None:
        _waveform(axes["microphone"], picture.microphone, UPLINK, 0.0, "#6d7f93")
        axes["microphone"].set_ylabel("microphone")
    else:
        _room(axes, picture.room, picture.microphone, end_s)
    _expected(axes["microphone"], picture)
    _scores(axes["wake"], picture)
    _states(axes["state"], picture.states, end_s)
    _waveform(axes["speaker"], picture.speaker, REPLY, picture.speaker_from, "#57b56a")
    axes["speaker"].set_ylabel("speaker")
    axes["speaker"].set_xlabel("seconds since the first microphone sample")
    for name in axes.keys() - {"state"}:
        _mark(axes[name], picture)
    _label_marks(lanes[0], picture)
    lanes[0].set_xlim(0, max(end_s, 1.0))
    figure.suptitle(_headline(picture), fontsize=11, color=_WARNING if picture.trouble else _INK)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    write_output(path, png.getvalue())


def _expected(axes: "Axes", picture: Picture) -> None:
    """Shade what the service was to receive, and say what became of it."""
    colour = COLOURS[State.LISTENING] if picture.received != 0 else COLOURS[State.TROUBLE]
    label = "sent to the service" if picture.received != 0 else "to be sent, never received"
    for number, (start, stop) in enumerate(picture.expected):
        begin_s, end_s = start / UPLINK.rate_hz, stop / UPLINK.rate_hz
        axes.axvspan(begin_s, end_s, color=colour, alpha=0.18, lw=0, label=None if number else label)
    if picture.expected:
        axes.legend(loc="upper right", frameon=False, fontsize=9)


def _waveform(
    axes: "Axes", pcm: Pcm, form: AudioFormat, start_s: float, colour: str, full: float | None = None
) -> None:
    """Draw the range of the samples in each column; ``full`` is the amplitude at the edge, by default the loudest."""
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    _plain(axes)
    per_column = max(1, len(pcm) // _COLUMNS)
    columns = len(pcm) // per_column
    if not columns:
        return
    cut = pcm[: columns * per_column].reshape(columns, per_column) / 32_768
    edge = _loudest(pcm) if full is None else full
    times = start_s + np.arange(columns) * per_column / form.rate_hz
    axes.fill_between(times, cut.min(axis=1) / edge, cut.max(axis=1) / edge, color=colour, lw=0.3)


def _loudest(pcm: Pcm) -> float:
    """Return an amplitude, 1 being full scale, that no sample reaches; not too small a one."""
    return max(float(np.abs(pcm / 32_768).max(initial=0.0)), 0.05) * 1.05


def _room(axes: Mapping[str, "Axes"], room: RoomLanes, echo_free: Pcm, end_s: float) -> None:
    """Draw the lanes of a room; both of the microphone's on one scale."""
    full = _loudest(room.microphone)
    _waveform(axes["heard"], room.microphone, UPLINK, room.microphone_from, "#6d7f93", full)
    axes["heard"].set_ylabel("microphone")
    _waveform(axes["microphone"], echo_free, UPLINK, 0.0, "#6d7f93", full)
    axes["microphone"].set_ylabel("echo-free")
    _said(axes["heard"], room.said)
    _voice(axes["voice"], room)
    _gain(axes["gain"], room, end_s)


def _said(axes: "Axes", spans: Sequence[tuple[float, float]]) -> None:
    for number, (begin_s, end_s) in enumerate(spans):
        axes.axvspan(begin_s, end_s, color="#e0a030", alpha=0.25, lw=0, label=None if number else "the person speaks")
    if spans:
        axes.legend(loc="upper right", frameon=False, fontsize=9)


def _voice(axes: "Axes", room: RoomLanes) -> None:
    """Draw the probabilities; where there are none, the detector did not run."""
    axes.vlines([at for at, _ in room.voice], 0, [sure for _, sure in room.voice], color="#c77f1a", lw=1.0)
    axes.set_ylim(-0.05, 1.05)
    axes.set_yticks([0, 1])
    axes.set_ylabel("voice")
    _plain(axes)


def _gain(axes: "Axes", room: RoomLanes, end_s: float) -> None:
    times = [0.0, *(at for at, _ in room.yieldings), end_s]
    gains = [0.0, *(_GAINS_DB[yielding] for _, yielding in room.yieldings)]
    axes.step(times, [*gains, gains[-1]], where="post", color="#2f7f46", lw=1.4)
    axes.set_ylim(_SILENT_DB - 3, 3)
    axes.set_yticks([0.0, _DUCKED_DB, _SILENT_DB], labels=["0 dB", f"{_DUCKED_DB:.0f} dB", "paused"])
    axes.set_ylabel("answer gain")
    _plain(axes)


def _scores(axes: "Axes", picture: Picture) -> None:
    times = [score.end_sample / UPLINK.rate_hz for score in picture.scores]
    axes.plot(times, [score.score for score in picture.scores], color="#7a4fbf", lw=1.2)
    axes.axhline(picture.threshold, color="#7a4fbf", lw=0.8, ls=":")
    threshold = f"threshold {picture.threshold:.2f} "
    axes.text(
        1,
        picture.threshold,
        threshold,
        transform=axes.get_yaxis_transform(),
        fontsize=8,
        color="#7a4fbf",
        ha="right",
        va="bottom",
    )
    axes.set_ylim(-0.05, 1.4)
    axes.set_yticks([0, 1])
    axes.set_ylabel("wake score")
    _plain(axes)
    for word in picture.detections:
        axes.text(word.end_sample / UPLINK.rate_hz, 1.1, f" {word.model}", fontsize=9, color="#7a4fbf", va="bottom")


def _states(axes: "Axes", states: Sequence[tuple[float, State]], end_s: float) -> None:
    axes.set_facecolor((_UNLIT, _UNLIT, _UNLIT))
    starts = [at for at, _ in states]
    ends = [*starts[1:], max(end_s, starts[-1])] if starts else []
    for (start, state), end in zip(states, ends, strict=True):
        if end <= start:
            continue
        colour = COLOURS[state]
        axes.axvspan(start, end, color=colour, lw=0)
        axes.axvline(start, color="black", lw=0.5)
        wide = end - start > len(state.value) * end_s / 130
        where = {"va": "center", "ha": "center"} if wide else {"va": "bottom", "ha": "left", "rotation": 90}
        x, y = ((start + end) / 2, 0.5) if wide else (start, 0.06)
        if end - start > end_s / 400:
            ink = (
                "black" if sum(part * share for part, share in zip(colour, _LUMINANCE, strict=True)) > 0.4 else "white"
            )
            axes.text(x, y, state.value, fontsize=9 if wide else 7, color=ink, clip_on=True, **where)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_ylabel("state, light")
    _plain(axes)


def _marks(picture: Picture) -> list[tuple[float, str, str]]:
    """Return the vertical lines through all plots: time, name and colour."""
    words = [(word.end_sample / UPLINK.rate_hz, "wake word", "#7a4fbf") for word in picture.detections]
    shown = {State.INTERRUPTED: _INK, State.TROUBLE: _WARNING, State.FAULT: _WARNING}
    return words + [(at, state.value, shown[state]) for at, state in picture.states if state in shown]


def _mark(axes: "Axes", picture: Picture) -> None:
    for at, _, colour in _marks(picture):
        axes.axvline(at, color=colour, lw=1.0, ls="--")


def _label_marks(axes: "Axes", picture: Picture) -> None:
    for at, name, colour in _marks(picture):
        axes.text(
            at, 1.01, name, transform=axes.get_xaxis_transform(), fontsize=8, color=colour, va="bottom", ha="center"
        )


def _plain(axes: "Axes") -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.yaxis.label.set_color(_INK)
    axes.tick_params(colors=_INK)


def _headline(picture: Picture) -> str:
    names = {
        Latency.WAKE_TO_LIGHT: "wake word → light",
        Latency.WAKE_TO_LINK_OPEN: "wake word → link open",
        Latency.FIRST_REPLY_CHUNK_TO_SPEAKER: "first reply chunk → speaker",
        Latency.VOICE_TO_DUCK: "voice → quieter",
        Latency.VOICE_TO_PAUSE: "voice → pause",
        Latency.INTERRUPT_TO_SILENCE: "interruption → silence",
        Latency.SPEECH_TO_ANSWER: "end of speech → answer",
    }
    parts = [f"{names[latency]} {taken[0]:.0f} ms" for latency, taken in picture.latencies_ms.items() if taken]
    trouble = shorten(picture.trouble or "", 150, placeholder=" …")
    half = -(-len(parts) // 2) if len(parts) > _PARTS_IN_A_LINE else _PARTS_IN_A_LINE
    lines = [trouble, *("   ·   ".join(line) for line in (parts[:half], parts[half:]))]
    return "\n".join(line for line in lines if line)
