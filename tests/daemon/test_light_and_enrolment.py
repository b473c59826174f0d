"""Without a light, or before it is enrolled, the daemon stays up, makes that known, and goes on when it is well."""

import asyncio
from pathlib import Path

import pytest

from appliance.audio.sounds import Sounds
from appliance.button.ports import ButtonEdge
from appliance.config.schema import Prefetch, ProvisioningSettings
from appliance.core.events import Fault, Trouble
from appliance.core.state import State
from appliance.daemon import Appliance
from appliance.errors import ConfigurationError
from appliance.provisioning.common.protocol import DeviceFacts
from appliance.provisioning.device.await_enrolment import EnrolmentAwaitingTokens
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.device.enrolment import enrol
from appliance.provisioning.device.token_manager import TokenManager
from appliance.storage.private_dir import PrivateDirectory
from tests.support.devices import join, local_device
from tests.support.household import Household, reach
from tests.support.live import FakeStore
from tests.support.provisioning import World, world

LOUD: dict[str, dict[str, object]] = {"speaker": {"volume": 1.0}}


def times_said(household: Household, what: Trouble | Fault) -> int:
    sentence = Sounds().phrase(what)
    assert sentence is not None
    return bytes(household.speaker.heard).count(sentence[len(sentence) // 4 :][:4800].tobytes())


async def press(household: Household) -> None:
    household.button.on_edge(ButtonEdge.DOWN)
    await asyncio.sleep(1)
    household.button.on_edge(ButtonEdge.UP)


async def test_a_light_whose_pins_are_busy_is_a_fault_that_is_told_and_no_reason_not_to_talk():
    household = Household(settings=LOUD)
    household.light.failures = ["busy"] * 8

    async with household.living() as appliance:
        await reach(appliance, State.FAULT)
        await asyncio.sleep(1)
        assert "ready" in household.manager.said
        assert "status fault: light" in household.manager.said
        household.button.on_edge(ButtonEdge.DOWN)
        await reach(appliance, State.LISTENING)
        household.button.on_edge(ButtonEdge.UP)
        await reach(appliance, State.IDLE, 120)
        assert times_said(household, Fault.LIGHT) <= 1


async def test_a_light_that_fails_while_it_runs_is_said_once_and_again_when_it_fails_again():
    household = Household(settings=LOUD)

    async with household.living() as appliance:
        for times in (1, 2):
            await reach(appliance, State.IDLE)
            household.light.fail(*["gone"] * 7)
            await reach(appliance, State.FAULT)
            await asyncio.sleep(20)
            assert appliance.conversation.context.state is State.FAULT
            assert times_said(household, Fault.LIGHT) == times
            await reach(appliance, State.IDLE, 120)


async def test_where_the_light_is_required_nothing_is_sent_without_it_and_a_press_is_told_why():
    household = Household(words=(16_000 * 10,), settings=LOUD | {"indicator": {"required": True}})
    household.light.failures = ["busy"] * 9

    async with household.living() as appliance:
        await reach(appliance, State.FAULT)
        await asyncio.sleep(15)
        await press(household)
        await asyncio.sleep(10)
        assert not household.connector.requests, "neither the wake word nor a press begins a conversation"
        assert times_said(household, Fault.LIGHT) == 2
        await reach(appliance, State.IDLE, 120)
        household.button.on_edge(ButtonEdge.DOWN)
        await reach(appliance, State.LISTENING)


async def test_a_light_that_is_required_ends_a_conversation_when_it_fails():
    household = Household(settings=LOUD | {"indicator": {"required": True}})

    async with household.living() as appliance:
        await reach(appliance, State.IDLE)
        household.button.on_edge(ButtonEdge.DOWN)
        await reach(appliance, State.LISTENING)
        household.light.fail("gone")
        await asyncio.sleep(0.01)
        assert appliance.conversation.context.state is State.FAULT


def tokens(here: World, state: Path, **settings: object) -> EnrolmentAwaitingTokens:
    said = ProvisioningSettings.model_validate(settings)
    return EnrolmentAwaitingTokens(
        lambda: TokenManager(
            ProvisioningClient(said, state, here.transport), Prefetch.NEVER, FakeStore(), lambda _: None, lambda: 0.5
        )
    )


async def goes_on(household: Household, appliance: Appliance) -> None:
    await reach(appliance, State.IDLE)
    household.button.on_edge(ButtonEdge.DOWN)
    await reach(appliance, State.LISTENING)
    household.button.on_edge(ButtonEdge.UP)


async def test_a_device_that_is_not_enrolled_shows_it_says_it_at_a_press_and_goes_on_when_it_is(tmp_path: Path):
    here = world(devices={})
    household = Household(awaited=tokens(here, tmp_path), settings=LOUD)
    async with household.living() as appliance:
        await reach(appliance, State.FAULT)
        assert "status fault: enrolment" in household.manager.said
        await press(household)
        await reach(appliance, State.TROUBLE)
        assert appliance.conversation.context.trouble is Trouble.NOT_ENROLLED
        await reach(appliance, State.FAULT)
        assert times_said(household, Trouble.NOT_ENROLLED) == 1
        await enrol(local_device(here, tmp_path), join(here.claim()), DeviceFacts(model="Pi", os="debian-12"), None)
        await goes_on(household, appliance)


async def test_a_device_whose_identity_another_program_uses_waits_for_it(tmp_path: Path):
    here = world(devices={})
    await enrol(local_device(here, tmp_path), join(here.claim()), DeviceFacts(model="Pi", os="debian-12"), None)
    household = Household(awaited=tokens(here, tmp_path), settings=LOUD)
    with PrivateDirectory(tmp_path).locked():
        async with household.living() as appliance:
            await reach(appliance, State.FAULT)
            assert "status fault: enrolment" in household.manager.said
    household = Household(awaited=tokens(here, tmp_path), settings=LOUD)
    async with household.living() as appliance:
        await goes_on(household, appliance)


async def test_a_setting_that_is_wrong_is_no_enrolment_to_wait_for(tmp_path: Path):
    here = world(devices={})
    await enrol(local_device(here, tmp_path), join(here.claim()), DeviceFacts(model="Pi", os="debian-12"), None)
    with pytest.raises(ConfigurationError, match=r"provisioning\.url"):
        tokens(here, tmp_path, url="http://nas")
