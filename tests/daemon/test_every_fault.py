"""Every shipped scenario against the whole daemon: what it does, shows and says is as the scenario's file has it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Any, TypeVar

import pytest

from appliance.audio.sounds import Sounds
from appliance.config.schema import Settings
from appliance.conversation import Moment
from appliance.core.events import LinkLost, PlaybackDrained, Trouble
from appliance.core.state import Gate, Listening, State, gate
from appliance.daemon import Appliance
from appliance.live.ports import Request
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.model.turn import TranscriptTiming
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from appliance.simulator.scenario.expectation import UNUSUAL, Action, Expectation
from appliance.simulator.scenario.file import Scenario, load, shipped
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulated_link import MODEL
from tests.support.simulator import said

T = TypeVar("T")
PAUSE_S = 0.2
"""After an answer, before the next question."""
BOUND_S = 120.0
"""The longest that any of these conversations may take."""
STORY = Reply(said(2.5), text="once upon a time", question="tell me a story")
WAITS = frozenset({State.CONNECTING, State.RECONNECTING})


@dataclass
class Diary:
    """Record of one conversation: actions, troubles, answers and lights."""

    home: Home
    deeds: list[Action] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    answers: int = 0
    lights: list[State] = field(default_factory=list)
    signs: int = 0
    """Moments at which the person was heard, or answered."""
    _request: Request | None = None
    _repeated: int = 0

    def watch(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self.home.on_moment = self._on_moment
        self.home.connector.on_attempt = self._on_attempt

    def _on_attempt(self, request: Request) -> None:
        before, self._request = self._request, request
        if before is None:
            return
        if self._appliance.conversation.context.state not in WAITS:
            self.deeds.append(Action.SWAP)
        elif request.handle:
            self.deeds.append(Action.RESUME)
        elif request.omitted_features > before.omitted_features:
            self.deeds.append(Action.LEAVE_OUT)
        else:
            self.deeds.append(Action.BEGIN_ANEW if self.home.connector.links else Action.TRY_AGAIN)

    def _on_moment(self, moment: Moment) -> None:
        before, after = moment.before, moment.after
        shown = self.home.light.shown[-1][1]
        assert shown is after.state
        self.lights.append(shown)
        self.signs += after.state is not State.LISTENING or after.listening is Listening.SPEECH
        counts = self._appliance.uplink.counts
        repeated = counts.repeated - counts.requeued
        if repeated > self._repeated:
            self.deeds.append(Action.ASK_AGAIN)
            self._repeated = repeated
        if isinstance(moment.event, PlaybackDrained) and before.epoch == moment.event.epoch and not after.epoch:
            self.answers += 1
        if isinstance(moment.event, LinkLost) and before.linked and after.state is State.IDLE:
            self.deeds.append(Action.LEAVE)
        if after.trouble and after.trouble is not before.trouble:
            self.deeds.append(Action.GIVE_UP)
            self.troubles.append(after.trouble)


@cache
def quick() -> Settings:
    """With a short wait for the next question: most of the time of these tests."""
    return settings_with(conversation={"follow_up_s": 4.0})


async def converse(diary: Diary, appliance: Appliance, expected: Expectation, question_s: float) -> None:
    """Say the wake word and ask; ask on after each answer, until all is said and the conversation is over."""
    room = diary.home.room
    room.ask(question_s)
    await reach(appliance, State.CONNECTING)
    asked, signs = 1, diary.signs
    while (context := appliance.conversation.context).state is not State.IDLE:
        follow_up = context.listening is Listening.FOLLOW_UP and context.state is State.LISTENING
        interrupts = expected.person == "interrupts" and asked == 1 and context.state is State.SPEAKING
        if asked == expected.questions or diary.signs <= signs or not (follow_up or interrupts):
            await asyncio.sleep(0.02)
            continue
        await asyncio.sleep(1.0 if interrupts else PAUSE_S)
        if interrupts:
            room.call()
        room.speak(question_s, after_s=0.1)
        asked, signs = asked + 1, diary.signs


@dataclass(frozen=True)
class Telling:
    """Signals about the person that the service sends."""

    activity: VoiceActivity = VoiceActivity.SENT
    transcripts: TranscriptTiming = TranscriptTiming.PROMPT

    def __str__(self) -> str:
        return f"{self.activity.value}-{self.transcripts.value}"


USUAL = Telling()
OTHER_TELLINGS = [
    Telling(activity, when)
    for activity in (VoiceActivity.SENT, VoiceActivity.UNSENT)
    for when in TranscriptTiming
    if Telling(activity, when) != USUAL
]


UNTOLD = {"overlooked_words": Expectation(action=(Action.BEGIN_ANEW, Action.ASK_AGAIN), light=(State.RECONNECTING,))}
"""Where the service tells nothing of the person, words that it misses are like any question without an answer."""


def load_for(name: str, telling: Telling) -> Scenario:
    scenario = load(name)
    untold = UNTOLD.get(name) if telling.activity is VoiceActivity.UNSENT else None
    return scenario if untold is None else scenario.model_copy(update={"expected": untold})


async def play(
    scenario: Scenario, telling: Telling = Telling(), question_s: float = 1.6, model: str = MODEL, **further: Any
) -> Diary:
    """Play a scenario to a household that asks questions of this length; return what it noticed.

    ``further``: options of the simulator.
    """
    expected = scenario.expected
    assert expected is not None
    options = SimulatorOptions(
        replies=(STORY,),
        scenarios=(scenario,),
        voice_activity=telling.activity,
        transcripts=telling.transcripts,
        **further,
    )
    async with SimulatedService(options) as service:
        home = Home(service, quick())
        home.tokens.model = model
        diary = Diary(home)
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(1)
            diary.watch(appliance)
            async with asyncio.timeout(BOUND_S):
                await converse(diary, appliance, expected, question_s)
            assert home.light.shown[-1][1] is State.IDLE
            assert gate(appliance.conversation.context) is Gate.CLOSED
            await asyncio.sleep(2)
            assert home.connector.connections == 0
    return diary


def each_once(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(item for item, _ in groupby(items))


def check(scenario: Scenario, diary: Diary) -> None:
    expected = scenario.expected
    assert expected is not None
    assert each_once(diary.deeds) == expected.action
    assert each_once(state for state in diary.lights if state in UNUSUAL) == expected.light
    assert diary.troubles == ([expected.words] if expected.words else [])
    assert diary.answers == (expected.questions if expected.answers is None else expected.answers)
    if expected.words is not None:
        sentence = Sounds().phrase(expected.words)
        assert sentence is not None
        middle = sentence[len(sentence) // 2 :][:2400]
        assert middle.tobytes() in diary.home.speaker.heard, "it is said in words"


LIKE_ANOTHER = {
    *("close_1001", "close_1007", "close_1008", "close_1012", "close_1013", "close_4000", "close_in_tool_call"),
    *("http_401", "http_403", "http_503", "token_spent", "large_message"),
}
"""Faults of which a household notices the same as of another one that every run tries."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in LIKE_ANOTHER else name for name in shipped()],
)
async def test_a_household_notices_of_a_fault_what_its_scenario_says(name: str):
    scenario = load_for(name, USUAL)
    assert scenario.expected is not None, "the file lacks [expected]"
    check(scenario, await play(scenario, USUAL))


@pytest.mark.slow
@pytest.mark.parametrize("telling", OTHER_TELLINGS, ids=str)
@pytest.mark.parametrize("name", shipped())
async def test_nor_does_it_matter_what_the_service_tells_of_the_person(name: str, telling: Telling):
    scenario = load_for(name, telling)
    check(scenario, await play(scenario, telling))


@pytest.mark.parametrize("transcripts", TranscriptTiming)
async def test_a_long_first_question_is_heard_out_though_the_service_tells_nothing_before_its_end(
    transcripts: TranscriptTiming,
):
    scenario = load("healthy").model_copy(update={"expected": Expectation(questions=1)})
    check(scenario, await play(scenario, Telling(VoiceActivity.UNSENT, transcripts), question_s=12.0))


async def test_a_handle_that_is_refused_with_the_other_code_is_no_other_fault():
    scenario = load("handles_forgotten")
    check(scenario, await play(scenario, unknown_handle_code=1008))


RESUMED = {
    "drop_while_idle": Expectation(action=(Action.RESUME,), light=(State.RECONNECTING,)),
    "drop_mid_reply": Expectation(action=(Action.RESUME, Action.ASK_AGAIN), light=(State.RECONNECTING,)),
}
"""Where a handle has come before the first answer, the session goes on."""


@pytest.mark.parametrize(
    "name",
    [
        *("healthy", "drop_mid_reply", "handles_forgotten"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("drop_while_idle", "drop_while_speaking", "go_away")),
    ],
)
async def test_a_model_that_sends_handles_unasked_and_often_is_talked_with_as_any_other(name: str):
    telling = Telling(VoiceActivity.UNSENT)
    scenario = load_for(name, telling)
    if name in RESUMED:
        scenario = scenario.model_copy(update={"expected": RESUMED[name]})
    check(scenario, await play(scenario, telling, model="gemini-3.1-flash-live-preview"))
