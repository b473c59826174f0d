"""The service hears the end of what is said: live audio follows the last word, repeated or not."""

import asyncio

import numpy as np
import pytest

from appliance.conversation import Moment
from appliance.core.events import UserSilent
from appliance.core.state import Context, Mode, State
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from appliance.simulator.scenario.file import load
from appliance.units import Seconds
from tests.daemon.trailing import check_trailing_audio
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulated_link import SimulatedLink
from tests.support.simulator import said

YES = Reply(said(0.8), text="yes", question="is it so")


@pytest.mark.parametrize("activity", [VoiceActivity.SENT, pytest.param(VoiceActivity.UNSENT, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("scenario", "words"), [("ignored_turn", 2), ("drop_while_speaking", 1), ("healthy", 1)])
async def test_words_that_get_no_answer_and_their_repetition_have_an_end_to_be_heard(
    scenario: str, words: int, activity: VoiceActivity
):
    options = SimulatorOptions(replies=(YES,), scenarios=(load(scenario),), voice_activity=activity, thinking_s=2.5)
    async with SimulatedService(options) as service:
        home = Home(service, settings_with(conversation={"follow_up_s": 3}))
        moments: list[Moment] = []
        home.on_moment = moments.append
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(0.5)
            home.room.ask(1.6)
            await reach(appliance, State.SPEAKING, 60)
            await reach(appliance, State.IDLE, 60)
        assert check_trailing_audio(home.connector.links, moments) >= words


@pytest.mark.parametrize("out_s", [0.1, 1.0])
async def test_a_microphone_that_is_lost_in_the_middle_of_a_word_leaves_no_turn_without_an_end(out_s: float):
    async with SimulatedService(SimulatorOptions(replies=(YES,))) as service:
        home = Home(service, settings_with())
        moments: list[Moment] = []
        home.on_moment = moments.append
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(0.5)
            home.room.ask(3.0)
            await reach(appliance, State.LISTENING)
            await asyncio.sleep(1.0)
            home.room.unplugged = True
            await asyncio.sleep(out_s)
            home.room.unplugged = False
            await reach(appliance, State.IDLE, 60)
            await asyncio.sleep(3)
            home.room.ask(1.0)
            await reach(appliance, State.SPEAKING)
            await reach(appliance, State.IDLE)
        check_trailing_audio(home.connector.links, moments)


class Offered(SimulatedLink):
    """A link that was offered this."""

    def __init__(self, *offered: tuple[float, bytes]) -> None:
        self.mode, self.offered, self.closed_at = Mode.HANDS_FREE, list(offered), float("inf")


def test_a_word_without_an_end_is_found():
    thinking = Context(state=State.THINKING)
    moments = [Moment(Seconds(1.0), UserSilent(1), thinking, thinking)]
    word, silence = np.full(640, 9000, "<i2").tobytes(), bytes(1280)
    complete = Offered((2.0, word), *((2.0 + 0.04 * n, silence) for n in range(1, 30)))
    assert check_trailing_audio([complete], moments) == 1
    with pytest.raises(AssertionError, match="no end"):
        check_trailing_audio([Offered(*complete.offered[:10])], moments)
