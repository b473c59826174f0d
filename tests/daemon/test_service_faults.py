"""A service that fails while a person waits: it is asked again once, then the person is told; never silence."""

import asyncio

import numpy as np
import pytest

from appliance.button.ports import ButtonEdge
from appliance.core.events import Trouble
from appliance.core.state import Mode, State
from appliance.daemon import Appliance
from appliance.errors import LinkAction, LinkCause, LinkError
from appliance.live.messages import (
    GenerationComplete,
    HandleUpdated,
    HeardText,
    Interrupted,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    SpokenText,
    TokenCount,
    ToolCall,
    TurnComplete,
    UsageReported,
)
from appliance.units import REPLY, Seconds
from tests.support.household import TONE, WORD, Household, reach
from tests.support.uplink import stream

MUTE = ReplyAudio(bytes(48_000))
SPOKEN = (SpeechStarted(), SpeechEnded())


def woken(**settings: dict[str, object]) -> Household:
    return Household(words=(WORD,), settings=settings)


def now() -> float:
    return asyncio.get_running_loop().time()


def told(appliance: Appliance) -> Trouble | None:
    return appliance.conversation.context.trouble


def states(household: Household) -> list[State]:
    return [state for _, state in household.light.shown]


@pytest.mark.parametrize("answer", [(), (MUTE, MUTE, MUTE)], ids=["silent", "mute"])
async def test_a_question_without_an_answer_is_asked_again_on_a_fresh_session_word_for_word(answer):
    household = woken()

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(2)
        household.link.say(HandleUpdated("h"), *SPOKEN, *answer)
        await reach(appliance, State.RECONNECTING)
        asked = household.connector.links[0].audio
        await reach(appliance, State.THINKING)
        await asyncio.sleep(3)
        again = household.link.audio
        assert household.connector.requests[1].handle is None
        assert np.array_equal(again[: len(asked)], asked)
        assert np.array_equal(again, stream(WORD - 3200, WORD - 3200 + len(again)))
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.LISTENING)


async def test_the_silence_is_noticed_within_eight_seconds_and_after_a_second_one_there_is_an_apology():
    household = woken()

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(*SPOKEN)
        asked_at = now()
        await reach(appliance, State.RECONNECTING)
        assert now() - asked_at < 8
        await reach(appliance, State.TROUBLE)
        assert told(appliance) is Trouble.SILENT_SERVICE
        assert now() - asked_at < 20
        assert len(household.connector.links) == 2
        await asyncio.sleep(1)
        assert np.any(household.speaker.heard[-24_000:]), "it is said in words"
        await reach(appliance, State.IDLE)


async def test_silence_that_the_model_chose_is_no_fault():
    household = woken()

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(*SPOKEN, TurnComplete())
        await reach(appliance, State.IDLE)
        assert len(household.connector.links) == 1
        assert State.TROUBLE not in states(household)


async def test_a_push_to_talk_question_is_asked_again_as_one_turn():
    household = Household()

    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        household.button.on_edge(ButtonEdge.DOWN)
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(2)
        household.button.on_edge(ButtonEdge.UP)
        await reach(appliance, State.THINKING)
        await asyncio.sleep(9)
        first, second = household.connector.links
        assert second.marks == first.marks
        assert np.array_equal(second.audio, first.audio)


async def test_an_answer_that_breaks_off_with_its_link_is_asked_for_again():
    household = woken()

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(1)
        household.link.say(HandleUpdated("h"), *SPOKEN, TONE, TONE)
        await reach(appliance, State.SPEAKING)
        await asyncio.sleep(0.5)
        household.link.lose()
        await reach(appliance, State.THINKING)
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        assert household.connector.requests[1].handle == "h"
        await reach(appliance, State.LISTENING)


@pytest.mark.parametrize(
    ("action", "trouble", "within_s"),
    [
        (LinkAction.BACK_OFF, Trouble.SERVICE, 9),
        (LinkAction.OFFLINE, Trouble.NETWORK, 9),
        (LinkAction.CLOCK_WRONG, Trouble.CLOCK, 9),
        (LinkAction.WAIT_QUOTA, Trouble.QUOTA, 1),
        (LinkAction.GIVE_UP_AUTH, Trouble.REFUSED, 1),
        (LinkAction.GIVE_UP_CONFIG, Trouble.SETTINGS, 1),
        (LinkAction.OMIT_FEATURE, Trouble.SETTINGS, 1),
        (LinkAction.NEW_TOKEN, Trouble.REFUSED, 1),
    ],
)
async def test_what_stands_in_the_way_is_told_when_it_is_known_or_the_patience_is_over(action, trouble, within_s):
    household = woken()
    household.connector.error = LinkError("no", LinkCause.REFUSED, action)

    async with household.living() as appliance:
        await reach(appliance, State.CONNECTING)
        began = now()
        await reach(appliance, State.TROUBLE)
        assert told(appliance) is trouble
        assert now() - began < within_s
        await asyncio.sleep(1)
        assert np.any(household.speaker.heard[-24_000:])
        await reach(appliance, State.IDLE)


async def test_a_network_that_comes_back_in_time_is_worth_no_word():
    household = woken()
    household.connector.error = LinkError("no", LinkCause.UNREACHABLE, LinkAction.OFFLINE)

    async with household.living() as appliance:
        await reach(appliance, State.CONNECTING)
        await asyncio.sleep(3)
        household.connector.error = None
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(2)
        heard = household.link.audio
        assert np.array_equal(heard, stream(WORD - 3200, WORD - 3200 + len(heard)))
        assert State.TROUBLE not in states(household)


async def test_a_tool_that_takes_long_is_heard_to_be_at_work_and_survives_the_loss_of_its_link():
    async def look_up() -> str:
        """Look something up."""
        await asyncio.sleep(6)
        return "found"

    household = woken(tools={"enabled": ["look_up"], "filler_s": 1.0})
    household.tools = (look_up,)

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(1)
        household.link.say(HandleUpdated("h"), *SPOKEN, ToolCall("1", "look_up", {}))
        await reach(appliance, State.THINKING)
        await asyncio.sleep(1.5)
        assert np.any(household.speaker.heard[-24_000:]), "a short sound"
        household.link.lose()
        await reach(appliance, State.RECONNECTING)
        await reach(appliance, State.THINKING)
        await asyncio.sleep(6)
        assert [result.response["result"] for result in household.link.results] == ["found"]
        assert household.connector.requests[1].handle == "h"
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)


async def test_a_tool_whose_session_is_lost_is_not_run_twice_and_the_person_is_told():
    runs: list[int] = []

    async def buy() -> str:
        """Buy something."""
        runs.append(1)
        await asyncio.sleep(3)
        return "bought"

    household = woken(tools={"enabled": ["buy"]})
    household.tools = (buy,)

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(HandleUpdated("h"), *SPOKEN, HandleUpdated(None), ToolCall("1", "buy", {}))
        await asyncio.sleep(1)
        household.link.lose()
        await reach(appliance, State.TROUBLE)
        assert told(appliance) is Trouble.LOST
        assert runs == [1]


async def test_a_text_is_answered_aloud_with_the_microphone_closed():
    household = Household()

    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        appliance.send_text("How late is it?")
        await reach(appliance, State.THINKING)
        await asyncio.sleep(0.5)
        assert household.link.texts == ["How late is it?"]
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.LISTENING)
        assert household.connector.modes == [Mode.PUSH_TO_TALK]
        await reach(appliance, State.IDLE)
        assert household.link.samples == 0


async def test_a_text_that_gets_no_answer_is_sent_again():
    household = Household()

    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        appliance.send_text("How late is it?")
        await asyncio.sleep(9)
        assert [link.texts for link in household.connector.links] == [["How late is it?"]] * 2


async def test_what_may_be_spent_is_not_exceeded_and_that_is_said():
    household = woken(caps={"day": 0.5})
    dear = UsageReported(0, response=TokenCount(audio=100_000))

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(*SPOKEN, TONE, GenerationComplete(), dear, TurnComplete())
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.TROUBLE)
        assert told(appliance) is Trouble.CAP_DAY
        assert np.count_nonzero(household.speaker.heard) > 20_000, "the answer was heard"
        await reach(appliance, State.IDLE)
        appliance.send_text("And now?")
        await reach(appliance, State.TROUBLE)
        assert len(household.connector.links) == 1


async def test_a_conversation_goes_on_where_the_last_one_ended_unless_it_is_to_be_forgotten():
    household = Household(settings={"tools": {"enabled": ["forget_conversation"]}})

    async def talk(appliance: Appliance, *messages: ToolCall) -> None:
        appliance.send_text("Hello.")
        await reach(appliance, State.THINKING)
        household.link.say(*messages)
        await asyncio.sleep(0.1)
        household.link.say(TONE, GenerationComplete(), TurnComplete(), HandleUpdated("h"))
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.IDLE)

    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        await talk(appliance)
        await asyncio.sleep(100)
        await talk(appliance, ToolCall("1", "forget_conversation", {}))
        await talk(appliance)
        await asyncio.sleep(400)
        await talk(appliance)
        assert [request.handle for request in household.connector.requests] == [None, "h", None, None]


async def test_the_model_is_told_how_much_was_heard_of_an_answer_that_was_interrupted():
    household = woken(conversation={"barge_in": "voice"})

    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(*SPOKEN, HeardText("Count."), SpokenText(" One two three four five six seven eight."))
        household.link.say(*[TONE] * 8, GenerationComplete())
        await reach(appliance, State.SPEAKING)
        await asyncio.sleep(4)
        household.link.say(Interrupted(), TurnComplete())
        await reach(appliance, State.INTERRUPTED)
        await asyncio.sleep(0.1)
        (seed,) = household.link.seeds
        assert seed.turns[0].text.startswith('(The person interrupted. Of your last answer they heard only: "One two')
        assert "eight" not in seed.turns[0].text
        assert REPLY.duration(len(household.speaker.heard)) > Seconds(4.0)
