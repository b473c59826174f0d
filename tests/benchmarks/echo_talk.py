"""A household that talks with the daemon in a simulated room, and what became of its answers."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from appliance.conversation import Moment
from appliance.core.events import ReplyAudible
from appliance.core.state import State, Yielding
from appliance.daemon import Appliance
from tests.benchmarks.echo_speech import WORDS_S, Speech, in_turn
from tests.support.household import reach
from tests.support.room_home import RoomHome

QUESTION_DB: Final = 8.0
"""Level of a question, asked in silence, over that of an echo."""
STOPPED_WITHIN_S: Final = 1.5
_EARLIEST_S, _LATEST_S = 1.0, 3.0
"""When people begin to speak over a reply."""
_PAUSE_S: Final = 0.8
"""From the end of an answer to the next question."""
_ANSWER_S: Final = 6.0
"""Longest wait for an answer, the question included."""
_ATTEMPTS: Final = 4


@dataclass(slots=True)
class Answer:
    """A reply, and what became of it. Times are loop times."""

    audible_at: float
    spoke_at: float | None = None
    """When a person began to speak over it."""
    begin: int = 0
    """The microphone's sample at which they begin."""
    yielded_at: list[float] = field(default_factory=list)
    """When it was turned down, or paused at once."""
    paused_at: list[float] = field(default_factory=list)
    resumed_at: float | None = None
    """When it went on after the last pause."""
    interrupted_at: float | None = None
    ended_at: float = 0.0
    lost: int = 0
    """Samples of those words that the service did not get; counted where it heard them."""

    @property
    def stop_s(self) -> float | None:
        """Time from the first word to the silence that ended the reply; None if it was not interrupted."""
        if self.spoke_at is None or self.interrupted_at is None:
            return None
        silent_from = [at for at in self.paused_at if at > (self.resumed_at or 0.0)]
        return min([*silent_from, self.interrupted_at]) - self.spoke_at

    @property
    def stopped(self) -> bool:
        """Whether whoever spoke over it was heard in time."""
        return self.stop_s is not None and 0 <= self.stop_s <= STOPPED_WITHIN_S

    @property
    def duck_s(self) -> float | None:
        """Time from the first word to the first duck or pause; None if it was not turned down."""
        if self.spoke_at is None:
            return None
        after_s = [at - self.spoke_at for at in self.yielded_at if at >= self.spoke_at]
        return min(after_s) if after_s else None

    @property
    def false_ducks(self) -> int:
        """Ducks and pauses for which nobody had spoken."""
        return sum(self.spoke_at is None or at < self.spoke_at for at in self.yielded_at)

    @property
    def cut(self) -> bool:
        """Whether it was interrupted although nobody spoke over it."""
        return self.interrupted_at is not None and (self.spoke_at is None or self.interrupted_at < self.spoke_at)


class Talk:
    """Asks, and speaks over some of the answers. Every random choice follows from the seed."""

    def __init__(self, seed: int, over_echo_db: float, speech: Speech) -> None:
        self.answers: list[Answer] = []
        self.questions = 0
        self.played_s = 0.0
        """Time in which replies sounded."""
        self._random = np.random.default_rng(seed)
        self._over_echo_db = over_echo_db
        self._speech = speech
        self._words = in_turn(speech.words[seed % len(speech.words) :] + speech.words, 1_000)
        self._answered = asyncio.Event()
        self._over = asyncio.Event()

    async def hold(self, home: RoomHome, appliance: Appliance, spoken_over: list[bool]) -> None:
        """Have so many answers, and speak over those that say so."""
        await reach(appliance, State.IDLE)
        await self._ask(home, appliance)
        for number, over in enumerate(spoken_over):
            answer = self.answers[-1]
            if over:
                await self._speak_over(home, answer, number)
            await self._over.wait()
            if number + 1 < len(spoken_over):
                await self._have_another(home, appliance, answer, heard=over)
        await asyncio.sleep(WORDS_S)
        for answer, words in zip(self.answers, self._words, strict=False):
            if answer.stopped:
                answer.lost = _lost(appliance, answer.begin, len(words))

    def see(self, moment: Moment) -> None:
        """Follow the conversation; for `Observers.on_moment`."""
        before, after, now = moment.before, moment.after, asyncio.get_running_loop().time()
        if isinstance(moment.event, ReplyAudible) and after.state is State.SPEAKING:
            self.answers.append(Answer(now))
            self._over.clear()
            self._answered.set()
        if not self.answers or self._over.is_set():
            return
        answer = self.answers[-1]
        if before.yielding is Yielding.NONE is not after.yielding:
            answer.yielded_at.append(now)
        if before.yielding is not Yielding.PAUSED is after.yielding:
            answer.paused_at.append(now)
        if before.yielding is Yielding.PAUSED and after.state is State.SPEAKING:
            answer.resumed_at = now
        if before.state is State.SPEAKING and after.state is not State.SPEAKING:
            answer.interrupted_at = now if after.state is State.INTERRUPTED else None
            answer.ended_at = now
            self.played_s += now - answer.audible_at
            self._over.set()

    async def _speak_over(self, home: RoomHome, answer: Answer, number: int) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(answer.audible_at + self._random.uniform(_EARLIEST_S, _LATEST_S) - loop.time())
        answer.begin = home.room.say(self._words[number], over_echo_db=self._over_echo_db)
        answer.spoke_at = loop.time()

    async def _have_another(self, home: RoomHome, appliance: Appliance, last: Answer, *, heard: bool) -> None:
        """Wait for the answer to words that were spoken over the last one; else ask."""
        if heard and last.interrupted_at is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    await self._another()
                    return
        await asyncio.sleep(_PAUSE_S)
        if last is self.answers[-1]:
            await self._ask(home, appliance)

    async def _ask(self, home: RoomHome, appliance: Appliance) -> None:
        """Ask until there is an answer; say the wake word where the conversation is over."""
        for _ in range(_ATTEMPTS):
            if appliance.conversation.context.state is State.IDLE:
                home.call()
                await reach(appliance, State.LISTENING)
            home.room.say(self._speech.question, over_echo_db=QUESTION_DB)
            self.questions += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(_ANSWER_S):
                    await self._another()
                    return
        raise AssertionError("a question in silence was not answered")

    async def _another(self) -> None:
        self._answered.clear()
        await self._answered.wait()


def _lost(appliance: Appliance, begin: int, count: int) -> int:
    """Return how many samples from the microphone's sample ``begin`` on were not sent."""
    spans = appliance.uplink.counts.spans
    sent = sum(max(0, min(stop, begin + count) - max(start, begin)) for start, stop in spans)
    return count - sent
