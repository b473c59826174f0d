"""Speech over an answer is sent only while the answer's echo is not sent with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.handling import EchoHandling
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.monitor import NO_ECHO_S
from appliance.audio.echo.status import EchoStatus
from appliance.core.state import BargeIn, Gate, State, gate
from appliance.daemon import Appliance
from appliance.live.messages import GenerationComplete, SpeechEnded
from appliance.units import Seconds
from tests.support.household import TONE, WORD, Household, reach

CONVERGED = EchoStatus(CancellerState.CONVERGED, 25.0, Seconds(0.1), 12.0)
BROKEN = EchoStatus(CancellerState.BROKEN, 0.0, Seconds(0.1), 12.0)
VOICE = EchoHandling(Aec.WEBRTC, BargeIn.VOICE, "the echo is taken away")


@asynccontextmanager
async def speaking(household: Household) -> AsyncIterator[Appliance]:
    async with household.living() as appliance:
        await reach(appliance, State.LISTENING)
        household.link.say(SpeechEnded(), *[TONE] * 20, GenerationComplete())
        await reach(appliance, State.SPEAKING)
        await asyncio.sleep(0.5)
        yield appliance


async def sent(household: Household, appliance: Appliance) -> bool:
    """Return whether what the microphone hears is sent now."""
    await asyncio.sleep(0.1)
    before = household.link.samples
    await asyncio.sleep(0.5)
    assert (household.link.samples > before) is (gate(appliance.conversation.context) is Gate.OPEN)
    return household.link.samples > before


async def test_with_a_canceller_it_is_sent_while_that_has_converged():
    household = Household(words=(WORD,), echo_handling=VOICE, echo=EchoStatus())
    async with speaking(household) as appliance:
        assert not await sent(household, appliance)
        household.echo = CONVERGED
        assert await sent(household, appliance)
        household.echo = BROKEN
        assert not await sent(household, appliance)
        household.echo = None  # another worker starts
        assert not await sent(household, appliance)
        household.echo = CONVERGED
        assert await sent(household, appliance)


async def test_where_the_microphone_hears_no_echo_at_all_it_is_sent_after_the_first_seconds():
    household = Household(words=(WORD,), echo_handling=VOICE, echo=EchoStatus())
    async with speaking(household) as appliance:
        assert not await sent(household, appliance)
        await asyncio.sleep(NO_ECHO_S)
        assert await sent(household, appliance)


@pytest.mark.parametrize(
    ("aec", "barge_in", "expected"),
    [
        (Aec.OFF, "auto", True),
        (Aec.OFF, "voice", True),
        (Aec.OFF, "wake-word", False),
        (Aec.HALF_DUPLEX, "voice", False),
        (Aec.WEBRTC, "voice", False),  # its library cannot be loaded
    ],
)
async def test_without_a_canceller_mode_and_settings_decide(aec: Aec, barge_in: str, expected: bool):
    handling = EchoHandling(aec, BargeIn.VOICE, "hardware")
    settings: dict[str, dict[str, object]] = {"conversation": {"barge_in": barge_in}}
    household = Household(words=(WORD,), echo_handling=handling, settings=settings)
    async with speaking(household) as appliance:
        assert await sent(household, appliance) is expected


async def test_the_status_says_how_it_is_cancelled_and_why_speech_interrupts():
    household = Household(echo_handling=VOICE, echo=CONVERGED)
    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        status = appliance.status()
    assert (status.barge_in, status.barge_in_reason) == (BargeIn.VOICE, "the echo is taken away")
    assert (status.echo.state, status.echo.erle_db, status.echo.delay_s) == ("converged", 25.0, 0.1)
