"""The daemon hears a person where the voice detector does, and asks it only while a conversation is on."""

import asyncio
from dataclasses import dataclass, field

from appliance.conversation import Moment
from appliance.core.events import UserSpeech
from appliance.core.state import NOT_SENDING, State
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.options import SimulatorOptions
from appliance.units import Pcm, SampleIndex
from appliance.voice.ports import SpeechProbability
from appliance.voice.scripted import ScriptedVoiceDetector
from appliance.voice.windows import WindowCutter
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with


@dataclass
class Ear:
    """A detector that finds speech while `speech` is set, whatever the samples."""

    speech: bool = False
    fed: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of consecutive samples."""
    windows: WindowCutter = field(default_factory=WindowCutter)

    def feed(self, start: SampleIndex, samples: Pcm) -> list[SpeechProbability]:
        end = start + len(samples)
        if self.windows.gap_before(start):
            self.fed.append((start, end))
        self.fed[-1] = (self.fed[-1][0], end)
        return [SpeechProbability(at, float(self.speech)) for at, _ in self.windows.cut(start, samples)]


@dataclass
class Watched:
    """Probabilities of speech that a home has measured, and the events that followed."""

    ear: Ear = field(default_factory=Ear)
    speech: int = 0
    """Times that the conversation was told of speech."""
    states: list[tuple[int, State]] = field(default_factory=list)
    """The samples heard as a state began."""

    def home(self, service: SimulatedService) -> Home:
        home = Home(service, settings_with(), voice=lambda: self.ear)

        def see(moment: Moment) -> None:
            self.speech += isinstance(moment.event, UserSpeech)
            if moment.after.state is not moment.before.state:
                self.states.append((home.room.next, moment.after.state))

        home.on_moment = see
        return home


def service() -> SimulatedService:
    """Return a service that hears nothing."""
    return SimulatedService(SimulatorOptions(voice_detector=lambda: ScriptedVoiceDetector(())))


async def test_the_detector_rests_between_conversations():
    watched = Watched()
    async with service() as simulated:
        home = watched.home(simulated)
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            await asyncio.sleep(3)
            for _ in range(2):
                home.room.call()
                await reach(appliance, State.LISTENING)
                await reach(appliance, State.IDLE)
                await asyncio.sleep(3)
    begun = [at for at, state in watched.states if state is State.CONNECTING]
    rested = [at for at, state in watched.states if state in NOT_SENDING and at > begun[0]]
    assert len(watched.ear.fed) == len(begun) == 2
    for (fed_from, fed_to), begin, end in zip(watched.ear.fed, begun, rested, strict=False):
        assert abs(fed_from - begin) < 16_000 * 0.2
        assert abs(fed_to - end) < 16_000 * 0.2


async def test_who_speaks_is_the_detectors_to_say_not_the_levels():
    watched = Watched()
    async with service() as simulated:
        home = watched.home(simulated)
        async with home.living() as appliance:
            await reach(appliance, State.IDLE)
            home.room.call()
            await reach(appliance, State.LISTENING)
            home.room.speak(1.5)  # a vacuum cleaner
            await asyncio.sleep(2)
            assert watched.speech == 0
            watched.ear.speech = True  # somebody whispers
            await asyncio.sleep(1)
            assert watched.speech == 1
