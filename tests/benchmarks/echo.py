"""Barge-in next to a loudspeaker: the whole daemon in a simulated room, a service that hears by a voice detector.

People speak over answers of six seconds, 6 to 18 dB below the echo at the microphone; nobody speaks over others. Times
count from the first sound of the person at the microphone to the sample that the speaker's card gets. Takes a quarter
of an hour; with ``ECHO_BENCH=quick`` a third of it, with fewer answers and no reference arrangements.
"""

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import median
from typing import Final

import numpy as np

from appliance.audio.echo.path import EchoPath
from appliance.audio.echo.webrtc import WebrtcSuppressor
from appliance.simulator.room.room import Room, RoomOptions
from appliance.units import REPLY, Pcm
from tests.benchmarks.echo_cost import costs
from tests.benchmarks.echo_path import Passed, pass_through
from tests.benchmarks.echo_scenes import Arrangement, Outcome, Scene, play
from tests.benchmarks.echo_speech import speech
from tests.benchmarks.echo_wake import DELAYS_S, LEVELS_DB, SHARES, left_alone, recorded_words, words_heard
from tests.benchmarks.figures import Figure

AT_ONCE: Final = 2
DRIFT_PPM: Final = 100.0
JUMP_S: Final = 0.06
JUMPS_AT_S: Final = 20.0
RECOVERED_DB: Final = 10.0
OPEN_LOOP_S: Final = 36.0
REFERENCES: Final = (Arrangement.NOTHING, Arrangement.HALF_DUPLEX, Arrangement.AEC3_ALONE)
_SIX, _TWELVE, _EIGHTEEN = -6.0, -12.0, -18.0
_CASCADE: Final = Arrangement.CASCADE


def measure(progress: Callable[[str], None]) -> list[Figure]:
    """Play all scenes, then measure the echo path alone."""
    scenes = _scenes(quick=os.environ.get("ECHO_BENCH") == "quick")
    progress("the echo path alone")
    figures = _path_alone()
    with ProcessPoolExecutor(AT_ONCE, initializer=logging.disable, initargs=(logging.CRITICAL,)) as pool:
        outcomes = []
        for number, outcome in enumerate(pool.map(play, scenes), 1):
            outcomes.append(outcome)
            progress(f"scene {number} of {len(scenes)}: {_described(outcome)}")
        figures = _talks(outcomes) + figures
        if recorded_words():
            progress("the wake word")
            figures += _wake(pool)
        else:
            progress("no recordings beside the checkout: the figures of the wake word are left out")
    return figures


def _scenes(*, quick: bool) -> list[Scene]:
    count = 5 if quick else 10
    own = [Scene(_CASCADE, count, seed) for seed in (11, 12, 13, 14)]
    own += [Scene(_CASCADE, count, seed, television=True) for seed in (21, 22, 23, 24)]
    spoken_over = ((1, _SIX), (2, _TWELVE), (3, _TWELVE), (4, _EIGHTEEN), (5, _EIGHTEEN))
    own += [Scene(_CASCADE, count, seed, level) for seed, level in spoken_over]
    if quick:
        return own
    others = [Scene(arrangement, 10, 11) for arrangement in REFERENCES]
    return own + others + [Scene(arrangement, 10, 2, _TWELVE) for arrangement in REFERENCES]


def _described(outcome: Outcome) -> str:
    """Return what became of one scene."""
    scene, answers = outcome.scene, outcome.answers
    spoken = "nobody" if scene.over_echo_db is None else f"{scene.over_echo_db:.0f} dB"
    television = ", television" if scene.television else ""
    stopped, cut = sum(one.stopped for one in answers), sum(one.cut for one in answers)
    return f"{scene.arrangement.value}, {spoken}{television}: {stopped} stopped, {cut} cut of {len(answers)}"


def _of(
    outcomes: Iterable[Outcome], arrangement: Arrangement, over_echo_db: float | None, *, television: bool = False
) -> list[Outcome]:
    wanted = (arrangement, over_echo_db, television)
    return [one for one in outcomes if (one.scene.arrangement, one.scene.over_echo_db, one.scene.television) == wanted]


def _talks(outcomes: list[Outcome]) -> list[Figure]:
    quiet, loud = _of(outcomes, _CASCADE, None), _of(outcomes, _CASCADE, None, television=True)
    spoken = {level: _of(outcomes, _CASCADE, level) for level in (_SIX, _TWELVE, _EIGHTEEN)}
    over = [answer for level in (_SIX, _TWELVE) for one in spoken[level] for answer in one.answers if answer.spoke_at]
    stops = [answer.stop_s for answer in over if answer.stopped and answer.stop_s is not None]
    ducks = [answer.duck_s for answer in over if answer.duck_s is not None]
    false_ducks = sum(answer.false_ducks for one in quiet for answer in one.answers)
    minutes = sum(one.played_s for one in quiet) / 60
    lost = max((answer.lost for answer in over if answer.stopped), default=0)
    return [
        _counted("false_cuts_of_40_at_12db", _cut(quiet), "= 0", outcomes, None),
        Figure("false_cuts_of_40_with_tv", _cut(loud), "", "<= 1"),
        Figure("barge_ins_stopped_of_10_at_6db", _stopped(spoken[_SIX]), "", ">= 10"),
        _counted("barge_ins_stopped_of_20_at_12db", _stopped(spoken[_TWELVE]), ">= 19", outcomes, _TWELVE),
        Figure("barge_ins_stopped_of_20_at_18db", _stopped(spoken[_EIGHTEEN]), "", ">= 15"),
        Figure("first_duck_median_s", median(ducks) if ducks else float("inf"), "s", "<= 0.15"),
        Figure("stop_median_s", median(stops) if stops else float("inf"), "s", "<= 0.35"),
        Figure("stop_worst_s", max(stops, default=float("inf")), "s", "<= 1.2"),
        Figure("false_ducks_per_min", false_ducks / minutes, "1/min", "<= 5"),
        Figure("interrupting_samples_lost", lost, "", "= 0"),
    ]


def _counted(name: str, value: int, goal: str, outcomes: list[Outcome], over_echo_db: float | None) -> Figure:
    """Return a figure next to that of the other arrangements, each of 10 answers."""
    count = _cut if over_echo_db is None else _stopped
    others = {one: _of(outcomes, one, over_echo_db) for one in REFERENCES}
    texts = [f"{one.value} {count(found)} of 10" for one, found in others.items() if found]
    return Figure(name, value, "", goal, ", ".join(texts))


def _cut(outcomes: Iterable[Outcome]) -> int:
    return sum(answer.cut for one in outcomes for answer in one.answers)


def _stopped(outcomes: Iterable[Outcome]) -> int:
    return sum(answer.stopped for one in outcomes for answer in one.answers)


def _wake(pool: ProcessPoolExecutor) -> list[Figure]:
    shares = list(pool.map(words_heard, *zip(*product((_SIX, _TWELVE), range(SHARES)), strict=True)))
    heard = [100 * float(np.mean(np.concatenate(shares[at : at + SHARES]))) for at in (0, SHARES)]
    alone = list(pool.map(left_alone, *zip(*product(DELAYS_S, LEVELS_DB), strict=True)))
    return [
        Figure("wake_during_playback_percent_at_6db", heard[0], "%", ">= 85"),
        Figure("wake_during_playback_percent_at_12db", heard[1], "%", ">= 60"),
        Figure("self_wakes", sum(one.wakes for one in alone), "", "= 0"),
        Figure("self_answers", sum(one.answers for one in alone), "", "= 0"),
    ]


def _path_alone() -> list[Figure]:
    steady, jumped = _pass(EchoPath(REPLY, WebrtcSuppressor())), _pass(EchoPath(REPLY, WebrtcSuppressor()), jump=True)
    return [
        Figure("linear_erle_db_at_100ppm", steady.erle_db(5.0, 25.0), "dB", ">= 15"),
        Figure("recovery_s_after_60ms_jump", _recovery_s(jumped), "s", "<= 5"),
        *costs(steady.captured, _played()),
    ]


def _played() -> Pcm:
    return np.concatenate(speech().replies)[: REPLY.frames(OPEN_LOOP_S)]


def _pass(path: EchoPath, *, jump: bool = False) -> Passed:
    happenings = {JUMPS_AT_S: lambda room: room.jump(JUMP_S)} if jump else {}
    return pass_through(Room(RoomOptions(ppm=DRIFT_PPM)), path, _played(), happenings)


def _recovery_s(jumped: Passed) -> float:
    """Return how long after the jump a second begins in which the echo is `RECOVERED_DB` weaker again."""
    for tenths in range(round((OPEN_LOOP_S - JUMPS_AT_S - 1) * 10)):
        begin_s = JUMPS_AT_S + tenths / 10
        if jumped.erle_db(begin_s, begin_s + 1.0) >= RECOVERED_DB:
            return tenths / 10
    return float("inf")
