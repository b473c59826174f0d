"""A service that tells nothing of the person: no voice activity, no transcript, or a late one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from appliance.core.state import Listening, State
from appliance.daemon import Appliance
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.model.turn import TranscriptTiming
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from appliance.simulator.scenario.file import Scenario
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulator import said

ANSWER = Reply(said(1.0), text="yes, indeed", question="is it so")
FOLLOW_UP_S = 4.0

Step = Mapping[str, object]
Story = Callable[[Home, Appliance], Awaitable[None]]


async def played(
    story: Story, *steps: Step, transcripts: TranscriptTiming = TranscriptTiming.NEVER
) -> tuple[Home, SimulatedService]:
    """Play a story to a service that sends no voice activity, up to the state of rest."""
    scenario = Scenario.model_validate({"description": "made up", "step": list(steps)})
    options = SimulatorOptions(
        replies=(ANSWER,), scenarios=(scenario,), voice_activity=VoiceActivity.UNSENT, transcripts=transcripts
    )
    async with SimulatedService(options) as service:
        home = Home(service, settings_with(conversation={"follow_up_s": FOLLOW_UP_S}))
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(1)
            await story(home, appliance)
            await reach(appliance, State.IDLE, within_s=120)
            await asyncio.sleep(2)
    return home, service


async def ask(home: Home, appliance: Appliance) -> None:
    """Say the wake word and ask."""
    home.room.ask(1.5)
    await reach(appliance, State.LISTENING)


async def answered(appliance: Appliance) -> None:
    await reach(appliance, State.SPEAKING)
    await reach(appliance, State.LISTENING)


def states(home: Home) -> list[State]:
    return [state for _, state in home.light.shown]


async def test_a_silence_that_the_model_chose_before_our_own_pause_was_over_is_not_asked_about_again():
    home, service = await played(ask, {"on": "turn:1", "do": "empty_turn"})
    assert len(service.sessions) == 1
    assert State.TROUBLE not in states(home)
    assert State.THINKING not in states(home), "the model has had its turn"


@pytest.mark.parametrize("into_s", [0.1, 0.3, 0.8])
async def test_a_drop_within_words_after_an_answer_loses_none_of_them(into_s: float):
    begins = []

    async def story(home: Home, appliance: Appliance) -> None:
        await ask(home, appliance)
        await answered(appliance)
        await asyncio.sleep(1)
        begins.append(home.room.next)
        home.room.speak(1.5)
        await answered(appliance)

    home, service = await played(story, {"on": "speech:2", "after_s": into_s, "do": "drop"})
    assert [one.resumed for one in service.sessions] == [False, True]
    words = home.room.recorded[2 * begins[0] : 2 * (begins[0] + 24_000)]
    assert words in service.received(1).astype("<i2").tobytes(), "all of them have reached the session"


async def test_a_drop_while_nobody_speaks_still_ends_a_conversation_quietly():
    async def story(home: Home, appliance: Appliance) -> None:
        await ask(home, appliance)
        await answered(appliance)
        await reach(appliance, State.IDLE, within_s=FOLLOW_UP_S / 2)

    home, service = await played(story, {"on": "turn_end:1", "after_s": 1, "do": "drop"})
    assert len(service.sessions) == 1
    assert State.RECONNECTING not in states(home)


async def test_words_after_an_answer_are_heard_out_though_they_take_longer_than_the_wait_for_them():
    async def story(home: Home, appliance: Appliance) -> None:
        await ask(home, appliance)
        await answered(appliance)
        home.room.speak(3 * FOLLOW_UP_S, after_s=0.5)
        await answered(appliance)

    _, service = await played(story)
    assert len(service.sessions) == 1
    assert len(service.sessions[0].turns) == 2


async def test_words_after_an_answer_that_get_none_are_asked_again():
    async def story(home: Home, appliance: Appliance) -> None:
        await ask(home, appliance)
        await answered(appliance)
        home.room.speak(1.5, after_s=0.5)
        await reach(appliance, State.RECONNECTING, within_s=20)
        await answered(appliance)

    await played(story, {"on": "turn:2", "do": "ignore_turn"})


async def test_a_noise_after_an_answer_is_no_reason_to_apologise():
    async def story(home: Home, appliance: Appliance) -> None:
        await ask(home, appliance)
        await answered(appliance)
        home.room.speak(0.6, after_s=0.5)

    ignored = {"on": "turn", "do": "ignore_turn", "connections": [2]}
    home, _ = await played(story, {"on": "turn:2", "do": "ignore_turn"}, ignored)
    assert State.TROUBLE not in states(home)


@pytest.mark.parametrize("transcripts", [TranscriptTiming.LATE, TranscriptTiming.NEVER])
async def test_a_transcript_that_comes_after_its_answer_was_cut_does_not_keep_the_microphone_open(
    transcripts: TranscriptTiming,
):
    async def story(home: Home, appliance: Appliance) -> None:
        await ask(home, appliance)
        await reach(appliance, State.INTERRUPTED)
        await asyncio.sleep(1)
        assert appliance.conversation.context.listening is Listening.FOLLOW_UP
        await asyncio.sleep(FOLLOW_UP_S)
        assert appliance.conversation.context.state is State.IDLE

    await played(story, {"on": "reply:1", "after_s": 0.5, "do": "interrupt"}, transcripts=transcripts)
