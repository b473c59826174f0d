"""The loop from the speaker to the microphone: what a recording of it says, in figures and in words. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
import numpy.typing as npt

from appliance.audio.echo.canceller import BLOCK, CONVERGED_DB, EchoCanceller
from appliance.audio.echo.correlation import find_echo
from appliance.audio.echo.loop import FARTHEST_M, LEAST_REACH_M, LoopMeasurement
from appliance.audio.echo.reference import PlayedReference
from appliance.audio.level import measure, rms_dbfs
from appliance.doctor.finding import Finding, Severity
from appliance.units import REPLY, UPLINK, Pcm

LONGEST_S: Final = 1.0
"""Longest delay that is found."""
SPEECH_DBFS: Final = -36.0
"""Level of a person who speaks one metre away, at a microphone with an ordinary gain: nothing here can measure it."""
FALL_DB: Final = 10.0
"""Fall of that level at ten times the distance: half of that in the open, because a room reverberates."""
ABOVE_NOISE_DB: Final = 6.0
"""Least ratio of speech to noise that is understood."""
BEST_DB: Final = 12.0
"""A person this much below the echo is still heard every time, where the canceller takes away as much; see
``scripts/bench echo``."""
CLIPPED: Final = 0.001
"""Share of samples at full scale from which the echo is distorted."""
STEPS_M: Final = (FARTHEST_M, 4.0, 3.0, 2.0, 1.5, 1.0, LEAST_REACH_M)
"""The distances that a verdict names."""
_EARLY_S: Final = 0.01
"""Time by which the canceller's reference precedes the echo."""
_MAX_PPM: Final = 300.0
"""Crystals are better; more is a mistake of the measurement."""
_WINDOW_S: Final = 2.0
"""Length of the two pieces whose delays are compared."""
_REFINEMENTS: Final = 3
_LESSONS: Final = 2
"""Times that the canceller hears the recording; only the last one counts."""
_SOUND: Final = 1e-5
"""Mean square of a reference that is heard: -50 dBFS."""
_FULL_SCALE: Final = 32_768
_APART: Final = "turn the speaker away from the microphone, move them apart, or lower the volume"
_INSTEAD: Final = f"use the wake word or the button; or {_APART}"

_Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class LoopRecording:
    """The sound that was played, and the microphone's samples; both begin at the same time, as drivers report it."""

    played: Pcm
    """24 kHz mono, as the card got it; silence first, for a second or longer."""
    captured: Pcm
    """16 kHz mono; at least `LONGEST_S` longer than the sound."""


@dataclass(frozen=True, slots=True)
class _Alignment:
    delay_s: float
    """At the beginning of the recording."""
    ppm: float


def analysed(recording: LoopRecording, microphone: str, speaker: str) -> LoopMeasurement:
    """Measure the loop; takes a second, on a small Pi ten. The names are those of the cards in the settings."""
    played, captured = recording.played, recording.captured
    sounding = np.flatnonzero(played)
    if not len(sounding):
        raise ValueError("nothing was played")
    begin = UPLINK.frames(REPLY.duration(int(sounding[0])))
    noise_dbfs = float(rms_dbfs(captured[:begin]))
    alignment = _alignment(recording)
    if alignment is None:
        reach_m = _reach(0.0, inf, noise_dbfs)
        return LoopMeasurement(microphone, speaker, noise_dbfs, None, 0.0, 0.0, 0.0, 0.0, reach_m)
    heard, residual, reference = _cancelled(captured, _reference(recording, alignment))
    echo = max(float(np.mean(heard**2)) - 10 ** (noise_dbfs / 10), 1e-12)
    erle_db = float(10 * np.log10(np.mean(heard**2) / max(float(np.mean(residual**2)), 1e-12)))
    speech_to_echo_db = SPEECH_DBFS - 10 * np.log10(echo)
    return LoopMeasurement(
        microphone,
        speaker,
        noise_dbfs,
        delay_s=round(alignment.delay_s, 4),
        ppm=round(alignment.ppm, 1),
        echo_gain_db=float(10 * np.log10(echo / np.mean(reference**2))),
        erle_db=erle_db,
        speech_to_echo_db=float(speech_to_echo_db),
        reach_m=_reach(erle_db, speech_to_echo_db, noise_dbfs),
        clipped=measure(captured[begin:]).clipped,
    )


def _alignment(recording: LoopRecording) -> _Alignment | None:
    """Return delay and drift; None without an echo."""
    whole = find_echo(recording.captured, recording.played, LONGEST_S)
    if whole is None:
        return None
    alignment = _Alignment(whole.delay_s, 0.0)
    for _ in range(_REFINEMENTS):  # a reference that drifts away blurs its own delay
        refined = _refined(recording.captured, _reference(recording, alignment), alignment)
        if abs(refined.ppm) > _MAX_PPM:
            return _Alignment(whole.delay_s, 0.0)
        alignment = refined
    return alignment


def _refined(captured: Pcm, reference: _Floats, before: _Alignment) -> _Alignment:
    """Return an alignment that is corrected by what is left of delay and drift."""
    sounding = np.flatnonzero(reference)
    length = UPLINK.frames(_WINDOW_S)
    places = int(sounding[0]), max(int(sounding[0]), int(sounding[-1]) - length)
    late: list[tuple[float, float]] = []
    for start in places:
        window = slice(start, start + length)
        echo = find_echo(captured[window], reference[window], LONGEST_S, UPLINK)
        if echo is not None:
            late.append((UPLINK.duration(start + length // 2), echo.delay_s - _EARLY_S))
    if len(late) < len(places) or places[1] - places[0] < length:
        return before
    (first_s, first_late_s), (last_s, last_late_s) = late
    drift = (first_late_s - last_late_s) / (last_s - first_s)
    return _Alignment(before.delay_s + first_late_s + drift * first_s, before.ppm + drift * 1e6)


def _reference(recording: LoopRecording, alignment: _Alignment) -> _Floats:
    """Return what was played, `_EARLY_S` before its echo; 16 kHz, whole blocks, as long as what was captured."""
    source = PlayedReference(REPLY, REPLY.duration(len(recording.played)))
    source.played(recording.played.astype(np.float32) / _FULL_SCALE)
    rate_hz = REPLY.rate_hz * (1 + alignment.ppm * 1e-6)
    begins_s = np.arange(len(recording.captured) // BLOCK) * UPLINK.duration(BLOCK) - alignment.delay_s + _EARLY_S
    return np.concatenate([source.read(begin_s * rate_hz, alignment.ppm) for begin_s in begins_s])


def _cancelled(captured: Pcm, reference: _Floats) -> tuple[_Floats, _Floats, _Floats]:
    """Return what was heard of the sound, what a trained canceller leaves of it, and what was played."""
    played = reference.reshape(-1, BLOCK).astype(np.float32)
    heard = captured[: played.size].reshape(-1, BLOCK).astype(np.float32) / _FULL_SCALE
    canceller = EchoCanceller()
    for _ in range(_LESSONS):
        residual = [canceller.process(*pair) for pair in zip(heard, played, strict=True)]
    sounds = np.mean(played**2, axis=1) > _SOUND
    return heard[sounds], np.array(residual)[sounds], played[sounds]


def _reach(erle_db: float, speech_to_echo_db: float, noise_dbfs: float) -> float:
    """Return the farthest of `STEPS_M` from which a person is heard over echo and noise; 0 if none is near enough."""
    to_spare_db = min(speech_to_echo_db + min(max(erle_db, 0.0), BEST_DB), SPEECH_DBFS - noise_dbfs - ABOVE_NOISE_DB)
    reach_m = 10 ** (to_spare_db / FALL_DB)
    return next((step for step in STEPS_M if step <= reach_m), 0.0)


# In words


def findings(measured: LoopMeasurement) -> Iterator[Finding]:
    """Return the report: the figures, then the verdict."""
    yield Finding("noise", Severity.OK, f"{measured.noise_dbfs:.0f} dBFS while nothing is played")
    if measured.delay_s is not None:
        yield Finding("delay", Severity.OK, f"{measured.delay_s * 1000:.0f} ms later than the cards report")
        yield Finding("drift", Severity.OK, f"{measured.ppm:+.0f} ppm, speaker against microphone")
        yield Finding("echo", Severity.OK, f"{measured.echo_gain_db:+.0f} dB against what is played")
        yield Finding("canceller", Severity.OK, f"takes away {measured.erle_db:.0f} dB of it")
        yield Finding("speech", Severity.OK, f"{measured.speech_to_echo_db:+.0f} dB against it from 1 m (estimate)")
    yield verdict(measured)


def verdict(measured: LoopMeasurement) -> Finding:
    """Return whether one can interrupt a reply by speaking, and what to do to be heard better."""
    name, reach_m = "interrupting", measured.reach_m
    if measured.clipped > CLIPPED:
        found = "the speaker overdrives the microphone"
        return Finding(name, Severity.NOTE, found, f"lower the microphone's gain; {_APART}")
    if measured.delay_s is None:
        if reach_m < LEAST_REACH_M:
            return _noisy(name)
        return Finding(name, Severity.OK, "the microphone does not hear the speaker: fine")
    if reach_m >= LEAST_REACH_M:
        better = _APART if reach_m <= 1.0 else ""
        severity = Severity.NOTE if better else Severity.OK
        return Finding(name, severity, f"you can interrupt it by speaking from {reach_m:g} m", better)
    if SPEECH_DBFS - measured.noise_dbfs < ABOVE_NOISE_DB:
        return _noisy(name)
    distorted = "the echo is too distorted to be taken away"
    drowned = "the speaker drowns a person's voice"
    return Finding(name, Severity.NOTE, distorted if measured.erle_db < CONVERGED_DB else drowned, _INSTEAD)


def _noisy(name: str) -> Finding:
    return Finding(name, Severity.NOTE, "it is too noisy here to hear a person", "repeat this when it is quiet")
