"""The whole daemon beside a loudspeaker that is later than its driver says: it does not talk with itself."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from appliance.audio.sounds import PhrasesOnly
from appliance.conversation import Moment
from appliance.core.events import ReplyAudible, ReplyStarted, Trouble, WakeDetected
from appliance.core.state import Policy, State
from appliance.daemon import Appliance
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from appliance.units import Pcm
from tests.clock import run_virtual
from tests.daemon.echo import Echo
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with

LONGEST_S = 120.0


def sentence(trouble: Trouble) -> Pcm:
    phrase = PhrasesOnly().phrase(trouble)
    assert phrase is not None
    return phrase


SENTENCES = tuple(
    Reply(sentence(trouble), text="a", question="b") for trouble in (Trouble.CAP_SESSION, Trouble.NETWORK)
)
WORD = (Reply(sentence(Trouble.NETWORK)[12_000:24_000], text="a", question="b"),)
"""Half a second."""


@dataclass
class Talk:
    """One question, some more after each answer, and what became of them."""

    delay_s: float
    level_db: float
    replies: tuple[Reply, ...] = SENTENCES
    activity: VoiceActivity = VoiceActivity.SENT
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    follow_ups: int = 0
    pause_s: float = 0.4
    """From the end of an answer by the driver's account to the next question."""

    answers: int = 0
    played: int = 0
    """Answers that could be heard."""
    lost: list[int] = field(default_factory=list)
    """Samples at the beginning of each follow-up question that were not sent."""

    def held(self) -> "Talk":
        """Hold it."""
        run_virtual(self._hold)
        return self

    async def _hold(self) -> None:
        options = SimulatorOptions(replies=self.replies, voice_activity=self.activity)
        async with SimulatedService(options) as service:
            home = Home(service, settings_with(**self.settings), on_moment=self._see)
            home.room.echo = Echo(home, self.delay_s, self.level_db)
            async with home.living() as appliance:
                await reach(appliance, State.IDLE)
                home.room.ask(1.5)
                await reach(appliance, State.CONNECTING)
                for number in range(1, self.follow_ups + 1):
                    await self._answered(appliance, number)
                    await self._ask_more(home, appliance)
                await reach(appliance, State.IDLE, LONGEST_S)

    def _see(self, moment: Moment) -> None:
        self.answers += isinstance(moment.event, ReplyStarted)
        self.played += isinstance(moment.event, ReplyAudible)

    async def _answered(self, appliance: Appliance, number: int) -> None:
        while self.answers < number:
            await asyncio.sleep(0.02)
        await reach(appliance, State.LISTENING)

    async def _ask_more(self, home: Home, appliance: Appliance) -> None:
        home.room.speak(1.2, after_s=self.pause_s)
        begin = home.room.next + round(self.pause_s * 16_000)
        await asyncio.sleep(self.pause_s + 1.2)
        sent_from = min(start for start, stop in appliance.uplink.counts.spans if stop > begin)
        self.lost.append(max(0, sent_from - begin))


def rare(*values: object) -> list[object]:
    """Return parameters of the slow run."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("delay_s", [0.0, *rare(0.1), 0.25, *rare(0.4), 0.6])
@pytest.mark.parametrize("level_db", [-6, *rare(-10), -20])
def test_one_question_has_one_answer(delay_s: float, level_db: float):
    assert Talk(delay_s, level_db).held().answers == 1


@pytest.mark.parametrize("delay_s", [*rare(0.1), 0.6])
def test_a_short_answer_is_not_taken_for_a_question_either(delay_s: float):
    assert Talk(delay_s, -10, WORD).held().answers == 1


@pytest.mark.parametrize("activity", [VoiceActivity.SENT, *rare(VoiceActivity.UNSENT)])
@pytest.mark.parametrize("pause_s", [0.1, *rare(0.4, 1.5)])
@pytest.mark.parametrize("delay_s", [*rare(0.0), 0.25])
def test_questions_after_an_answer_are_heard_and_answered(delay_s: float, pause_s: float, activity: VoiceActivity):
    talk = Talk(delay_s, -10, activity=activity, follow_ups=4, pause_s=pause_s).held()
    assert talk.answers == 5
    assert max(talk.lost) <= 0.05 * 16_000


@pytest.mark.parametrize("delay_s", [1.5, 2.5])
def test_an_echo_that_is_later_than_expected_does_not_go_on_for_long(delay_s: float):
    talk = Talk(delay_s, -10).held()
    assert 1 < talk.answers <= Policy().trusted_answers + 1
    assert talk.played <= Policy().trusted_answers


def test_a_person_who_asks_on_and_on_is_answered():
    assert Talk(0.25, -10, follow_ups=7).held().answers == 8


def test_a_delay_that_is_set_is_waited_for():
    late = {"speaker": {"extra_delay_ms": 2000}}
    assert Talk(2.0, -10, settings=late).held().answers == 1


@pytest.mark.parametrize("own", [True, False])
def test_a_wake_word_during_a_reply_interrupts_it_unless_the_appliance_has_said_it(own):
    events: list[object] = []

    async def converse() -> None:
        async with SimulatedService(SimulatorOptions(replies=SENTENCES)) as service:
            home = Home(service, settings_with(), on_moment=lambda moment: events.append(moment.event))
            async with home.living() as appliance:
                await reach(appliance, State.IDLE)
                home.room.ask(1.5)
                await reach(appliance, State.SPEAKING)
                await asyncio.sleep(1.0)
                home.room.replies_have_word = own
                home.room.call()
                await asyncio.sleep(0.5)
                assert (appliance.conversation.context.state is State.SPEAKING) is own

    run_virtual(converse)
    assert sum(isinstance(event, WakeDetected) for event in events) == (1 if own else 2)
