"""Whether a word is lost or said twice while connections come and go: sample by sample, at the service.

A person asks the whole daemon; meanwhile the service announces the end of the connection, or is gone. What each session
of the service knows, over all its connections, is compared with what the conversation owed it: what came after the
handle with which it was resumed, it has forgotten, unless it was answered before. A session that begins anew is owed
what has no answer yet, from the beginning of the utterance on.
"""

import asyncio
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from itertools import accumulate
from typing import Any, Final

import numpy as np

from appliance.core.events import PlaybackDrained
from appliance.core.state import State
from appliance.demo.accounting import WINDOW, account
from appliance.net.event_loop import HappyEyeballsLoop
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.record import SessionRecord, session_audio
from appliance.simulator.scenario.file import Scenario
from appliance.simulator.server import Simulator
from appliance.units import UPLINK, Pcm
from tests.benchmarks.live_house import House, any_token, mint, reach, until
from tests.benchmarks.live_wire import FAR, NEAR, delaying
from tests.support.simulator import said

AT_ONCE: Final = 8
"""Trials. Many more, and the service is late to read what has arrived: with its end, that is lost."""
SPEECH_S: Final = 3.0
FOLLOW_UP_S: Final = 4.0
"""The wait for more after an answer."""
SPOKEN: Final = said(0.8)
REPLY: Final = Reply(SPOKEN, text="yes", question="is it so")
"""Longer than `known.MARGIN_S`, as answers are: what was sent before it is known when its handle comes."""


class Turn(Enum):
    """Turn of the person; the value is its number on the connection."""

    FIRST = 1
    """No session can be resumed yet."""
    SECOND = 2
    """There is a handle."""


Step = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """Steps of a trial, and the number of questions."""

    steps: tuple[Step, ...]
    turn: Turn

    @property
    def scenario(self) -> Scenario:
        return Scenario.model_validate({"description": "While the person speaks.", "step": self.steps})


def _speaking(turn: Turn, after_s: float, do: Step) -> Trial:
    """Return a trial in which something happens so long after the person began to speak."""
    return Trial(({"on": f"speech:{turn.value}", "after_s": after_s, **do},), turn)


def _between(after_s: float) -> Trial:
    """Return a trial in which the person goes on while the old connection is being closed, which takes long."""
    slow = {"on": "ready", "do": "slow_close", "by_s": 1.0}
    return Trial((slow, {"on": "turn_end:1", "after_s": after_s, "do": "go_away", "time_left_s": 8.0}), Turn.SECOND)


@dataclass(frozen=True, slots=True)
class Fate:
    """Fate of the samples of some conversations."""

    lost: int = 0
    doubled: int = 0
    owed: int = 0

    def __add__(self, more: "Fate") -> "Fate":
        return Fate(self.lost + more.lost, self.doubled + more.doubled, self.owed + more.owed)


_MOMENTS: Final = (0.17, 0.64, 1.21, 2.38)
"""Seconds of speech."""
SWAPS: Final = (
    *(
        _speaking(turn, after_s, {"do": "go_away", "time_left_s": time_left_s})
        for turn in Turn
        for time_left_s in (1.0, 3.0, 8.0)
        for after_s in _MOMENTS
    ),
    *(_between(after_s) for after_s in (0.05, 0.25, 0.45, 0.65)),
)
_BREAKS: Final[tuple[Step, ...]] = (
    {"do": "drop"},
    {"do": "close", "code": 1011},
    {"do": "go_away", "time_left_s": 0.0},
    {"do": "half_message"},
)
DROPS: Final = tuple(_speaking(turn, after_s, do) for turn in Turn for do in _BREAKS for after_s in _MOMENTS)


class Way(Enum):
    """From the home to the service; the value is the delay in each direction, in seconds."""

    DIRECT = 0.0
    LONG = 0.02
    """For root only."""


class _Home(HappyEyeballsLoop):
    """The daemon's loop, for which the service is far away."""

    async def getaddrinfo(self, host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (FAR if host == "localhost" else host, port))]


def speech(trials: Iterable[Trial], way: Way) -> Fate:
    """Hold a conversation for each trial; takes about half a minute."""
    with asyncio.Runner(loop_factory=HappyEyeballsLoop if way is Way.DIRECT else _Home) as runner:
        return runner.run(_hold(trials, way))


async def _hold(trials: Iterable[Trial], way: Way) -> Fate:
    room = asyncio.Semaphore(AT_ONCE)

    async def hold(trial: Trial) -> Fate:
        async with room:
            return await conversation(trial, way)

    async with AsyncExitStack() as stack:
        if way is Way.LONG:
            await stack.enter_async_context(delaying(way.value))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(hold(trial)) for trial in trials]
    return sum((task.result() for task in tasks), Fate())


async def conversation(trial: Trial, way: Way) -> Fate:
    """Hold one conversation; raises RuntimeError where nothing went wrong in it, or where it has no end."""
    address = "127.0.0.1" if way is Way.DIRECT else NEAR
    options = SimulatorOptions(address=address, scenarios=(trial.scenario,), replies=(REPLY,))
    async with Simulator(options) as simulator:
        minted = await mint(simulator.base_url, simulator.ca_file)
        token = any_token(simulator.base_url.replace(NEAR, "localhost"), minted.value)
        house = House(token, simulator.ca_file, {"conversation": {"follow_up_s": FOLLOW_UP_S}})
        async with house.living() as appliance:
            await reach(appliance, State.IDLE)
            house.room.call()
            question = await _speak(house, trial)
            await reach(appliance, State.IDLE)
            spans = appliance.uplink.counts.spans  # without the echo of answers, which is not sent
        if len(simulator.sessions) < 2:
            raise RuntimeError(f"nothing went wrong: {trial}")
    recorded = np.frombuffer(house.room.recorded, "<i2")
    captured = np.concatenate([recorded[start:stop] for start, stop in spans])
    ends = list(accumulate(stop - start for start, stop in spans))
    answered = {record.number: _answered(record, captured, ends) for record in simulator.sessions}
    sessions = dict.fromkeys(record.session for record in simulator.sessions)
    heard = [_known(simulator.sessions, session, answered) for session in sessions]
    begin, end = (sum(min(stop, at) - start for start, stop in spans if start < at) for at in question)
    return compared(captured, heard, slice(begin, end))


def _answered(record: SessionRecord, captured: Pcm, ends: Sequence[int]) -> int:
    """Return how many samples of a connection have their answer.

    The person says nothing between an answer's beginning and the end of its span, the moment it is heard: that silence
    is not asked again, however much of it was on its way.
    """
    whole = [turn.at_sample for turn in record.turns if turn.sent_samples >= len(SPOKEN)]
    if not whole:
        return 0
    begin = _place(captured, record.samples()[:WINDOW])
    end = next(end for end in ends if end >= begin + max(whole))
    return min(end - begin, record.kept_samples)


def _known(records: Sequence[SessionRecord], session: int, answered: Mapping[int, int]) -> Pcm:
    """Return what a session knows, or has answered."""
    connections = []
    for record in records:
        if record.session == session:
            heard = record.received
            if heard.resumed_from is not None:
                last, count = heard.resumed_from
                heard = replace(heard, resumed_from=(last, max(count, answered[last])))
            connections.append(heard)
    return session_audio(connections)


async def _speak(house: House, trial: Trial) -> tuple[int, int]:
    """Ask as often as the trial wants it; return where in the microphone's stream the last question begins and ends."""
    begin = end = 0
    for number in range(trial.turn.value):
        pause_s = 0.3 if number == 0 else 0.5
        begin = house.room.next + UPLINK.frames(pause_s)
        end = begin + UPLINK.frames(SPEECH_S)
        house.room.speak(SPEECH_S, after_s=pause_s)
        await until(partial(_has_answers, house, number + 1))
    return begin, end


def _has_answers(house: House, count: int) -> bool:
    """Return whether so many answers were heard to their end."""
    return sum(isinstance(moment.event, PlaybackDrained) for moment in house.moments) >= count


def compared(captured: Pcm, heard: Sequence[Pcm], question: slice) -> Fate:
    """Compare what was owed with what each session has heard.

    The last one has to have heard all from the beginning of ``question`` on, or from where the one before stopped if
    that has heard all of the question, and so could answer it.
    """
    fate, wanted = Fate(owed=len(captured)), 0
    for number, samples in enumerate(heard, 1):
        begin = _place(captured, samples[:WINDOW])
        owed = captured[begin:]
        if number < len(heard):  # nobody answers this one any more: how far it has come does not count
            owed = owed[: _place(owed, samples[-WINDOW:]) + WINDOW]
        found = account(owed, samples)
        if found.strange:
            raise RuntimeError(f"{found.strange} samples that nobody has said")
        fate += Fate(found.lost + max(0, begin - wanted), found.duplicated)
        end = begin + len(owed)
        wanted = end if end >= question.stop else question.start
    return fate


def _place(captured: Pcm, window: Pcm) -> int:
    """Return where some samples stand; raises RuntimeError where they do not."""
    views = np.lib.stride_tricks.sliding_window_view(captured, len(window))
    places = np.flatnonzero((views == window).all(axis=1))
    if not len(window) or not len(places):
        raise RuntimeError("samples that nobody has said")
    return int(places[0])
