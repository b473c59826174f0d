"""The daemon, whole, in virtual time: nothing said is lost, faults show and clear, a stop is quick in every state."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from appliance.button.ports import ButtonEdge
from appliance.core.state import Mode, State
from appliance.daemon import Appliance
from appliance.errors import LinkCause, TokenRefused
from appliance.live.messages import (
    GenerationComplete,
    HandleUpdated,
    Interrupted,
    SpeechEnded,
    SpeechStarted,
    ToolCall,
    TurnComplete,
)
from tests.support.household import TONE, WORD, Household, reach, woken
from tests.support.uplink import stream


@pytest.mark.parametrize("open_s", [0.05, 3.0])
async def test_every_sample_from_the_wake_word_on_reaches_the_service_once_and_in_order(open_s: float):
    household = woken()
    household.connector.open_s = open_s
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(3)
        household.link.say(SpeechEnded(), TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        await asyncio.sleep(0.2)
    heard = household.link.audio
    begin = WORD - 3200
    assert len(heard) > 48_000
    assert np.array_equal(heard, stream(begin, begin + len(heard)))


async def test_a_question_is_kept_for_as_long_as_a_link_is_waited_for():
    household = woken(conversation={"connecting_s": 60})
    household.connector.open_s = 55.0
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING, 60)
        await asyncio.sleep(20)
    begin = WORD - 3200
    heard = household.link.audio
    assert len(heard) > 20 * 16_000
    assert np.array_equal(heard, stream(begin, begin + len(heard)))


async def test_a_link_that_opens_late_catches_up_faster_than_real_time():
    household = woken()
    household.connector.open_s = 3.0
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(1.3)
        assert household.microphone.next - (WORD - 3200) - household.link.samples <= 16_000 // 10


async def test_an_interruption_leaves_not_one_sample_of_the_old_reply():
    household = woken(conversation={"barge_in": "voice"})
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(SpeechEnded(), *[TONE] * 8, GenerationComplete())
        await reach(appliance, State.SPEAKING)
        await asyncio.sleep(1.0)
        household.link.say(Interrupted(), TurnComplete())
        await reach(appliance, State.INTERRUPTED)
        silent_from = len(household.speaker.heard) + 72 + 240
        await asyncio.sleep(2)
        assert np.any(household.speaker.heard[-72_000:-60_000])
        assert not np.any(household.speaker.heard[silent_from:])
        await reach(appliance, State.LISTENING)


async def test_the_next_answer_is_heard_after_an_interruption():
    household = woken(conversation={"barge_in": "voice"})
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(SpeechEnded(), *[TONE] * 4)
        await reach(appliance, State.SPEAKING)
        household.link.say(Interrupted(), TurnComplete(), SpeechStarted(), SpeechEnded())
        await reach(appliance, State.THINKING)
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.SPEAKING)
        await reach(appliance, State.LISTENING)
        await reach(appliance, State.IDLE)


async def test_push_to_talk_sends_exactly_what_was_said_between_press_and_release():
    household = Household(settings={"conversation": {"preroll_ms": 100}})
    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        await asyncio.sleep(1)
        pressed_at = household.microphone.next - 1600
        household.button.on_edge(ButtonEdge.DOWN)
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(2)
        released_at = household.microphone.next
        household.button.on_edge(ButtonEdge.UP)
        await reach(appliance, State.THINKING)
        await asyncio.sleep(1)
        link = household.link
        assert household.connector.modes == [Mode.PUSH_TO_TALK]
        assert link.marks == ["start at 0", f"end at {released_at - pressed_at}"]
        assert np.array_equal(link.audio, stream(pressed_at, released_at))


async def test_a_tool_runs_and_its_answer_is_spoken():
    household = woken()
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(ToolCall("1", "end_conversation", {}))
        await reach(appliance, State.FAREWELL)
        await asyncio.sleep(0.1)
        assert [(result.call, result.response["status"]) for result in household.link.results] == [("1", "ok")]
        household.link.say(TONE, GenerationComplete(), TurnComplete())
        await reach(appliance, State.IDLE)


async def test_a_refused_token_is_shown_and_told_and_the_daemon_goes_on():
    household = woken()
    household.tokens.error = TokenRefused("this device is not known")
    async with household.living() as appliance:
        await reach(appliance, State.TROUBLE)
        await asyncio.sleep(2)
        assert np.any(household.speaker.heard[-24_000:]), "it is said in words"
        await reach(appliance, State.IDLE)


async def test_a_lost_link_is_resumed():
    household = woken()
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(HandleUpdated("handle"), SpeechStarted())
        await asyncio.sleep(0.5)
        household.link.lose(LinkCause.DROPPED)
        await reach(appliance, State.RECONNECTING)
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(1)
        first, second = (link.audio for link in household.connector.links)
        assert np.array_equal(first, stream(WORD - 3200, WORD - 3200 + len(first)))
        # The session may know no more than it did when it gave the handle: all since then is sent again.
        again = next(at for at in range(len(first)) if np.array_equal(first[at:], second[: len(first) - at]))
        assert again < len(first) - 4_800
        assert np.array_equal(second, stream(WORD - 3200 + again, WORD - 3200 + again + len(second)))


async def test_a_reply_that_came_whole_is_played_to_its_end_although_its_link_is_lost():
    household = woken()
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(*[TONE] * 20, GenerationComplete(), TurnComplete())
        household.link.lose()
        await reach(appliance, State.FAREWELL)
        await reach(appliance, State.IDLE)
    assert np.count_nonzero(household.speaker.heard) > 19 * 24_000


async def test_what_came_of_a_reply_whose_link_is_lost_is_not_heard_beside_the_reason():
    household = woken()
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await asyncio.sleep(1)
        household.link.say(*[TONE] * 5)
        household.link.lose()
        await reach(appliance, State.TROUBLE)
        await reach(appliance, State.IDLE)
    tone = np.frombuffer(TONE.pcm, "<i2")[:6000].astype(np.float64)
    heard = household.speaker.heard
    size = len(heard) + len(tone)
    likeness = np.fft.irfft(np.fft.rfft(heard, size) * np.fft.rfft(tone, size).conj(), size) / np.sum(tone**2)
    assert np.max(likeness) < 0.5


async def test_a_microphone_that_says_nothing_at_all_is_a_fault():
    household = Household()
    household.microphone.silent = True
    async with household.living() as appliance:
        await reach(appliance, State.FAULT)
        assert "ready" in household.manager.said
        household.microphone.silent = False
        await reach(appliance, State.IDLE)


async def test_an_unplugged_microphone_is_a_fault_until_it_is_back():
    household = Household()
    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        household.microphone.broken = True
        await reach(appliance, State.FAULT)
        await asyncio.sleep(5)
        household.microphone.broken = False
        await reach(appliance, State.IDLE)


async def test_systemd_is_told_of_readiness_states_life_and_the_end():
    household = woken()
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        await reach(appliance, State.IDLE)
    said = household.manager.said
    assert said.index("ready") < said.index("status listening")
    assert "watchdog" in said
    assert said[-1] == "stopping"


async def _to_connecting(household: Household, appliance: Appliance) -> None:
    household.connector.open_s = 5.0
    await reach(appliance, State.CONNECTING)


async def _to_listening(household: Household, appliance: Appliance) -> None:
    await reach(appliance, State.LISTENING)


async def _to_thinking(household: Household, appliance: Appliance) -> None:
    await reach(appliance, State.LISTENING)
    household.link.say(SpeechEnded())
    await reach(appliance, State.THINKING)


async def _to_speaking(household: Household, appliance: Appliance) -> None:
    await reach(appliance, State.LISTENING)
    household.link.say(*[TONE] * 5)
    await reach(appliance, State.SPEAKING)


async def _to_interrupted(household: Household, appliance: Appliance) -> None:
    await _to_speaking(household, appliance)
    household.link.say(Interrupted())
    await reach(appliance, State.INTERRUPTED)


async def _to_reconnecting(household: Household, appliance: Appliance) -> None:
    await reach(appliance, State.LISTENING)
    household.connector.open_s = 5.0
    household.link.say(HandleUpdated("handle"), SpeechStarted())
    household.link.lose()
    await reach(appliance, State.RECONNECTING)


async def _to_farewell(household: Household, appliance: Appliance) -> None:
    await reach(appliance, State.LISTENING)
    appliance.end_conversation()
    await reach(appliance, State.FAREWELL)


async def _to_trouble(household: Household, appliance: Appliance) -> None:
    household.tokens.error = TokenRefused("no")
    await reach(appliance, State.TROUBLE)


async def _to_fault(household: Household, appliance: Appliance) -> None:
    household.microphone.broken = True
    await reach(appliance, State.FAULT)


async def _nowhere(household: Household, appliance: Appliance) -> None:
    await reach(appliance, State.STARTING)


async def _to_idle(household: Household, appliance: Appliance) -> None:
    await reach(appliance, State.IDLE)


@pytest.mark.parametrize("close_s", [0.0, 1.2])
@pytest.mark.parametrize(
    "go",
    [
        _nowhere, _to_idle, _to_connecting, _to_listening, _to_thinking, _to_speaking, _to_interrupted,
        _to_reconnecting, _to_farewell, _to_trouble, _to_fault,
    ],
)  # fmt: skip
async def test_a_stop_takes_less_than_two_seconds_in_every_state(
    go: Callable[[Household, Appliance], Awaitable[None]], close_s: float
):
    household = woken()
    household.connector.close_s = close_s
    loop = asyncio.get_running_loop()
    async with household.living() as appliance:
        await go(household, appliance)
        appliance.stop()
        stopped_at = loop.time()
    assert loop.time() - stopped_at < 2.0
    assert household.light.shown[-1][1] is State.STOPPED
