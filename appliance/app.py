"""The composition root: chooses adapters by the kind of each settings section, and makes the appliance.

The only module that knows adapters. Those whose libraries a laptop may lack are imported where they are chosen.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import assert_never

from appliance.adapters import Adapters
from appliance.audio.cards.devices import Direction
from appliance.audio.echo.handling import choose as choose_handling
from appliance.audio.echo.loop import LOOP_FILE, LoopMeasurement
from appliance.audio.echo.modes import Aec
from appliance.audio.ports import Microphone, Speaker
from appliance.audio.wavfile import WavMicrophone, WavSpeaker
from appliance.audio.worker.messages import PERIODS_MS, Opened, WorkerConfig
from appliance.audio.worker.supervisor import WorkerSupervisor
from appliance.button.keyboard import KeyboardButton
from appliance.button.ports import Button
from appliance.clock import local_now
from appliance.config.devices import (
    AlsaMicrophoneSettings,
    AlsaSpeakerSettings,
    GpioButtonSettings,
    GpioIndicatorSettings,
    KeyboardButtonSettings,
    NoButtonSettings,
    NoIndicatorSettings,
    NoWakeWordSettings,
    OpenWakeWordSettings,
    TerminalIndicatorSettings,
    WavMicrophoneSettings,
    WavSpeakerSettings,
)
from appliance.config.schema import Prefetch, Settings
from appliance.daemon import Appliance
from appliance.errors import DeviceError, GpioError
from appliance.gpio.button import GpioButton
from appliance.gpio.chip import GpioChip
from appliance.gpio.leds import GpioLight
from appliance.indicator.ports import Light, NoLight
from appliance.indicator.terminal import TerminalLight
from appliance.live.gemini.connection import GeminiConnector
from appliance.live.ports import LinkConnector, TokenSource
from appliance.net import event_loop
from appliance.observers import Observers
from appliance.provisioning.device.await_enrolment import EnrolmentAwaitingTokens
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.device.enrolment import STATUS_FILE
from appliance.provisioning.device.token_manager import TokenManager
from appliance.service.notify import from_environment
from appliance.service.signals import stop_signals
from appliance.storage.jsonfile import JsonFile, NullStore
from appliance.tools.builtin import builtin
from appliance.tools.registry import Registry
from appliance.voice.fallback import FallbackVoiceDetector
from appliance.voice.models import load as load_voice
from appliance.voice.ports import VoiceDetector
from appliance.voice.silero import SileroVoiceDetector
from appliance.wake.detector import rule_for
from appliance.wake.ports import WakeEngine


def serve(settings: Settings) -> None:
    """Call `run` on an event loop with happy eyeballs."""
    event_loop.run(run(settings))


async def run(settings: Settings) -> None:
    """Run the daemon until SIGTERM or SIGINT, or until the recording that replaces the microphone ends.

    Raises:
        ApplianceError: It cannot start.
    """
    appliance = await make(settings)
    with stop_signals(appliance.stop):
        await appliance.run()


async def make(settings: Settings, observers: Observers | None = None) -> Appliance:
    """Make the appliance that the settings describe.

    Raises:
        ApplianceError: Something cannot be opened, and a retry would not help.
    """
    appliance: Appliance
    registry = _registry(settings, lambda: appliance)
    appliance = Appliance(settings, await _choose(settings, registry), observers or Observers())
    return appliance


async def _choose(settings: Settings, registry: Registry) -> Adapters:
    state, runtime = _directory("STATE_DIRECTORY"), _directory("RUNTIME_DIRECTORY")
    connector = GeminiConnector(settings.live, registry.declarations)
    await connector.warm_up()
    tokens = EnrolmentAwaitingTokens(lambda: _tokens(settings, state, registry))
    chip = GpioChip()
    loop = LoopMeasurement.restored(JsonFile(state / LOOP_FILE).load()) if state else None
    handling = choose_handling(settings, loop)
    engine = audio_engine(settings, aec=handling.aec)
    return Adapters(
        microphone=_microphone(settings, engine),
        speaker=_speaker(settings, engine),
        engine=None if engine is None else engine.run,
        cards=lambda: () if engine is None else engine.cards,
        echo=lambda: None if engine is None else engine.echo,
        echo_handling=handling,
        wake=wake_engine(settings),
        voice=voice_detector,
        light=_light(settings, chip),
        button=_button(settings, chip),
        connector=connector,
        tokens=tokens,
        enrolment=tokens.run,
        usage=JsonFile(state / "usage.json") if state else NullStore(),
        limitations=JsonFile(state / "models.json") if state else NullStore(),
        registry=registry,
        manager=from_environment(os.environ),
        runtime=runtime,
    )


def _tokens(settings: Settings, state: Path | None, registry: Registry) -> TokenManager:
    client = ProvisioningClient(settings.provisioning, state)
    store = JsonFile(state / STATUS_FILE) if state else NullStore()
    return TokenManager(client, settings.provisioning.prefetch, store, registry.allow)


def _registry(settings: Settings, appliance: Callable[[], Appliance]) -> Registry:
    tools = builtin(
        local_now,
        lambda: appliance().end_conversation(),
        lambda gain: appliance().set_volume(gain),
        lambda: appliance().forget(),
    )
    return Registry(tools, settings.tools)


def _no_appliance() -> Appliance:
    raise AssertionError("no tool runs without an appliance")


def _directory(variable: str) -> Path | None:
    """Return a directory that systemd has created for the service, if it has."""
    return Path(found) if (found := os.environ.get(variable)) else None


def audio_engine(
    settings: Settings, directions: Collection[Direction] = tuple(Direction), aec: Aec = Aec.OFF
) -> WorkerSupervisor | None:
    """Return the supervisor of the sound cards that the settings name; None if they name none."""
    microphone, speaker = settings.microphone, settings.speaker
    hears = isinstance(microphone, AlsaMicrophoneSettings) and Direction.INPUT in directions
    plays = isinstance(speaker, AlsaSpeakerSettings) and Direction.OUTPUT in directions
    wanted = WorkerConfig(
        microphone=microphone.device if isinstance(microphone, AlsaMicrophoneSettings) and hears else None,
        speaker=speaker.device if isinstance(speaker, AlsaSpeakerSettings) and plays else None,
        period_ms=speaker.period_ms if isinstance(speaker, AlsaSpeakerSettings) else PERIODS_MS[1],
        prebuffer_s=settings.playback.prebuffer_ms / 1000,
        channel=microphone.channel if isinstance(microphone, AlsaMicrophoneSettings) else None,
        aec=aec,
    )
    return WorkerSupervisor(wanted) if hears or plays else None


async def open_cards(settings: Settings, directions: Collection[Direction]) -> Mapping[Direction, Opened | DeviceError]:
    """Open the cards that the settings name, all at once as the daemon does, and close them again."""
    engine = audio_engine(settings, directions)
    found: dict[Direction, Opened | DeviceError] = {}
    if engine is None:
        return found
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(engine.run())
        for direction in directions:
            try:
                found[direction] = await engine.opened(direction)
            except DeviceError as error:
                found[direction] = error
        serving.cancel()
    return found


@asynccontextmanager
async def microphone_alone(settings: Settings) -> AsyncIterator[Microphone]:
    """Yield the microphone that the settings name, ready to run, without the rest of the daemon."""
    engine = audio_engine(settings, {Direction.INPUT})
    async with asyncio.TaskGroup() as group:
        serving = None if engine is None else group.create_task(engine.run())
        try:
            yield _microphone(settings, engine)
        finally:
            if serving is not None:
                serving.cancel()


@asynccontextmanager
async def cards_alone(settings: Settings) -> AsyncIterator[tuple[Microphone, Speaker]]:
    """Yield the microphone and the speaker that the settings name, with the echo, and without the rest of the daemon.

    Raises:
        DeviceError: A card cannot be opened.
    """
    engine = audio_engine(settings)
    async with asyncio.TaskGroup() as group:
        serving = None if engine is None else group.create_task(engine.run())
        try:
            if engine is not None:
                for direction in Direction:
                    await engine.opened(direction)
            yield _microphone(settings, engine), _speaker(settings, engine)
        finally:
            if serving is not None:
                serving.cancel()


@asynccontextmanager
async def service_alone(settings: Settings) -> AsyncIterator[tuple[TokenSource, LinkConnector]]:
    """Yield the token source and the connector of the daemon, without the rest of it.

    Raises:
        ConfigurationError: One of their settings cannot be used.
        InputError: Another program uses the identity of this device.
    """
    registry = _registry(settings, _no_appliance)
    connector = GeminiConnector(settings.live, registry.declarations)
    once = settings.model_copy(
        update={"provisioning": settings.provisioning.model_copy(update={"prefetch": Prefetch.NEVER})}
    )
    async with _tokens(once, _directory("STATE_DIRECTORY"), registry) as tokens:
        yield tokens, connector


def _microphone(settings: Settings, engine: WorkerSupervisor | None) -> Microphone:
    match settings.microphone:
        case WavMicrophoneSettings(path=path, then_silence_s=then_silence_s):
            return WavMicrophone(path, then_silence_s)
        case _ if engine is not None:
            return engine.microphone
        case _:
            raise AssertionError


def _speaker(settings: Settings, engine: WorkerSupervisor | None) -> Speaker:
    match settings.speaker:
        case WavSpeakerSettings(path=path):
            return WavSpeaker(path, settings.playback.prebuffer_ms / 1000)
        case _ if engine is not None:
            return engine.speaker
        case _:
            raise AssertionError


def wake_engine(settings: Settings) -> Callable[[], WakeEngine] | None:
    """Return the function that loads the wake-word engine; None if the settings want none."""
    match settings.wake:
        case OpenWakeWordSettings(model=model, threshold=threshold, refractory_s=refractory_s):
            from appliance.wake.models import load  # noqa: PLC0415
            from appliance.wake.openwakeword import OpenWakeWordEngine  # noqa: PLC0415

            rule = rule_for(model, threshold, refractory_s)
            return lambda: OpenWakeWordEngine(load(model), rule)
        case NoWakeWordSettings():
            return None
        case _ as never:
            assert_never(never)


def voice_detector() -> VoiceDetector:
    """Load the voice detector; without the ONNX runtime or the graph, the level decides."""
    return FallbackVoiceDetector(neural_voice_detector)


def neural_voice_detector() -> VoiceDetector:
    """Load the better voice detector.

    Raises:
        LocalModelError: The ONNX runtime or the graph is missing, or cannot be used.
    """
    return SileroVoiceDetector(load_voice())


async def try_pins(settings: Settings) -> dict[str, GpioError | None]:
    """Claim the pins of light and button and release them; return the error of each, None if there was none."""
    chip = GpioChip()
    tried: dict[str, GpioError | None] = {}
    if isinstance(settings.indicator, GpioIndicatorSettings):
        tried["light"] = await _tried(GpioLight(settings.indicator, chip).run)
    if isinstance(settings.button, GpioButtonSettings):
        button = GpioButton(settings.button, chip)
        tried["button"] = await _tried(lambda on_ready: button.run(lambda _: None, on_ready))
    return tried


async def _tried(run: Callable[[Callable[[], None]], Coroutine[None, None, None]]) -> GpioError | None:
    """Run a device until it is ready; return the error if it fails."""
    ready = asyncio.Event()
    failure: GpioError | None = None
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(run(ready.set))
            await ready.wait()
            running.cancel()
    except* GpioError as group_of_one:
        (failure,) = (error for error in group_of_one.exceptions if isinstance(error, GpioError))
    return failure


def _light(settings: Settings, chip: GpioChip) -> Light:
    match settings.indicator:
        case GpioIndicatorSettings() as gpio:
            return GpioLight(gpio, chip)
        case TerminalIndicatorSettings():
            return TerminalLight(sys.stdout)
        case NoIndicatorSettings():
            return NoLight()
        case _ as never:
            assert_never(never)


def _button(settings: Settings, chip: GpioChip) -> Button | None:
    match settings.button:
        case GpioButtonSettings() as gpio:
            return GpioButton(gpio, chip)
        case KeyboardButtonSettings():
            return KeyboardButton(sys.stdin)
        case NoButtonSettings():
            return None
        case _ as never:
            assert_never(never)
