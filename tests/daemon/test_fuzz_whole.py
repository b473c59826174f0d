"""The whole daemon, a hostile service and a household at random: it always comes back to rest, and works again.

One script alone: ``FUZZ_SEED=1234 pytest -n 0 -s -m slow tests/daemon/test_fuzz_whole.py -k alone``.
All ten thousand, in two processes: ``pytest -n 2 -m slow tests/daemon/test_fuzz_whole.py``.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from random import Random
from typing import Final

import pytest

from appliance.adapters import Adapters
from appliance.audio.echo.canceller import CancellerState
from appliance.audio.echo.handling import EchoHandling
from appliance.audio.echo.modes import Aec
from appliance.audio.echo.status import EchoStatus
from appliance.button.ports import ButtonEdge
from appliance.config.schema import Settings
from appliance.conversation import Moment
from appliance.core.events import PlaybackDrained
from appliance.core.state import NOT_SENDING, Context, Gate, State, Yielding, deadline_s, gate
from appliance.daemon import Appliance
from appliance.errors import ProvisioningUnreachable, TokenRefused
from appliance.simulator.in_memory_server import SimulatedService
from appliance.simulator.model.replies import Reply, ToolStep
from appliance.simulator.model.turn import TranscriptTiming
from appliance.simulator.options import SimulatorOptions, VoiceActivity
from appliance.simulator.scenario.file import Scenario
from appliance.units import Seconds
from tests.daemon.echo import Echo
from tests.daemon.trailing import check_trailing_audio
from tests.support.household import reach
from tests.support.simulated_home import Home, settings_with
from tests.support.simulator import said

SCRIPTS: Final = 10_000
SHARDS: Final = 20
ECHOES: Final = 0.3
"""Share of the scripts in which the microphone hears the speaker."""
QUICK: Final = (4, 20, 54, 62, 72)
"""Scripts that every run plays; together they reach every state, and replies that yield."""
REST_S: Final = 240.0
"""The longest way back to rest once nobody does anything any more and every device works."""
ANSWER_S: Final = 30.0
"""The longest that a service in good health may need for the first answer."""
SHORT = Reply(said(0.8), text="yes, indeed", question="is it so")
LONG = Reply(said(4.0, seed=4), text="once upon a time there was a voice in a box", question="tell me a story")
TOOLED = Reply(said(1.0, seed=5), text="it is noon", question="how late is it", tool=ToolStep("get_time"))
SPOKEN: Final = said(0.5, seed=6)
CONVERGED: Final = EchoStatus(CancellerState.CONVERGED, 25.0, Seconds(0.1))
BROKEN: Final = EchoStatus(CancellerState.BROKEN, 0.0, Seconds(0.1))
_FADE: Final = 240
"""Samples over which the first reply of a speaker is faded in."""
ACTIVITIES: Final = (VoiceActivity.SENT, VoiceActivity.UNSENT)
TRANSCRIPTS: Final = tuple(TranscriptTiming)
ANSWER = Reply(SPOKEN, text="here I am", question="are you there")


class Deed(Enum):
    """Action of the household, or mishap, that an appliance has to survive."""

    WAKE = "wake"
    SPEAK = "speak"
    BARGE_IN = "barge-in"
    """The wake word, and more, as soon as a reply is heard."""
    SPEAK_OVER = "speak-over"
    """The same without the wake word."""
    HOLD = "hold"
    TAP = "tap"
    WRITE = "write"
    MICROPHONE_OUT = "microphone-out"
    SPEAKER_OUT = "speaker-out"
    LIGHT_OUT = "light-out"
    TOKENS_UNREACHABLE = "tokens-unreachable"
    TOKENS_REFUSED = "tokens-refused"
    TOKENS_SLOW = "tokens-slow"
    ECHO_BACK = "echo-back"
    """The echo canceller has to learn the room again."""
    TELEVISION = "television"
    """Talks with short pauses, much longer than anybody else."""
    WAIT = "wait"


_LIKELY: Final = (
    *[Deed.WAKE] * 5,
    *[Deed.SPEAK] * 3,
    *[Deed.BARGE_IN] * 3,
    *[Deed.SPEAK_OVER] * 3,
    *[Deed.HOLD] * 3,
    *(deed for deed in Deed if deed is not Deed.LIGHT_OUT),
)
_FIRST: Final = (Deed.WAKE, Deed.WAKE, Deed.HOLD, Deed.WRITE)


@dataclass(frozen=True)
class Act:
    deed: Deed
    after_s: float
    for_s: float


@dataclass(frozen=True)
class Script:
    """All that happens; the same for the same seed."""

    seed: int
    scenarios: tuple[Scenario, ...]
    acts: tuple[Act, ...]
    settings: int
    activity: VoiceActivity
    transcripts: TranscriptTiming
    padding_ms: int
    """Speech that the service needs before it notices it."""
    echo: tuple[float, float] | None
    """Delay in seconds and level in dB at which the microphone hears the speaker."""

    def __str__(self) -> str:
        steps = [f"  service: {step.model_dump(exclude_defaults=True)}" for one in self.scenarios for step in one.step]
        acts = [f"  after {act.after_s:.2f} s: {act.deed.value} for {act.for_s:.2f} s" for act in self.acts]
        told = f"voice activity {self.activity.value}, transcripts {self.transcripts.value}"
        head = f"seed {self.seed}, settings {self.settings}, {told}, padding {self.padding_ms} ms, echo {self.echo}"
        return "\n".join([head, *steps, *acts])


_BRISK: Final[dict[str, object]] = {"follow_up_s": 3.0, "first_speech_s": 5.0, "longest_s": 40.0}
"""Time costs time, even virtual time."""


def draw(seed: int) -> Script:
    random = Random(seed)  # noqa: S311  nothing here is secret
    deeds = [random.choice(_FIRST), *random.choices(_LIKELY, k=random.randint(1, 5))]
    acts = tuple(Act(deed, min(random.expovariate(0.6), 12.0), min(random.expovariate(0.7), 6.0)) for deed in deeds)
    if seed % 4 == 0:
        acts = (acts[0], Act(Deed.LIGHT_OUT, 0.0, 0.0), *acts[1:])
    scenarios = tuple(Scenario.random(seed * 3 + number) for number in range(random.randint(1, 2)))
    echo = (random.uniform(0.0, 1.5), random.uniform(-20, -6)) if random.random() < ECHOES else None
    numbers = random.randrange(len(_SETTINGS)), random.choice(ACTIVITIES), random.choice(TRANSCRIPTS)
    return Script(seed, scenarios, acts, *numbers, random.choice((20, 500)), echo)


_SETTINGS: Final[tuple[dict[str, dict[str, object]], ...]] = (
    {"conversation": _BRISK},
    {"conversation": {**_BRISK, "barge_in": "voice"}},
    {"conversation": {**_BRISK, "barge_in": "voice", "answer_s": 6.0}},
    {"conversation": {**_BRISK, "greeting": "Ask what you can do.", "memory_s": 0}, "playback": {"earcons": False}},
)


@cache
def settings(number: int) -> Settings:
    return settings_with(**_SETTINGS[number])


@dataclass
class Canceller:
    """An echo canceller, as far as the daemon knows it."""

    status: EchoStatus = CONVERGED

    def adapt(self, adapters: Adapters) -> Adapters:
        return replace(adapters, echo=lambda: self.status, echo_handling=EchoHandling(Aec.WEBRTC))


class Household:
    """Does what the script says, one thing after the other."""

    def __init__(self, home: Home, canceller: Canceller, appliance: Appliance) -> None:
        self._home = home
        self._canceller = canceller
        self._appliance = appliance

    async def act(self, act: Act) -> None:
        await asyncio.sleep(act.after_s)
        match act.deed:
            case Deed.WAKE:
                self._ask(act.for_s)
            case Deed.BARGE_IN | Deed.SPEAK_OVER:
                with suppress(TimeoutError):
                    await reach(self._appliance, State.SPEAKING, within_s=8.0)
                await asyncio.sleep(act.after_s / 4)
                (self._ask if act.deed is Deed.BARGE_IN else self._home.room.speak)(act.for_s)
            case Deed.TELEVISION:
                for _ in range(1 + round(act.for_s * 2)):
                    self._home.room.speak(2.5)
                    await asyncio.sleep(4.0)
            case Deed.SPEAK:
                self._home.room.speak(act.for_s)
            case Deed.HOLD:
                self._home.room.speak(act.for_s)
                await self._press(act.for_s)
            case Deed.TAP:
                await self._press(0.1)
            case Deed.WRITE:
                self._appliance.send_text("How late is it?")
            case _:
                await self._befall(act)

    async def _befall(self, act: Act) -> None:
        room, speaker, tokens = self._home.room, self._home.speaker, self._home.tokens
        canceller = self._canceller
        match act.deed:
            case Deed.MICROPHONE_OUT:
                room.unplugged = True
            case Deed.SPEAKER_OUT:
                speaker.unplug()
            case Deed.ECHO_BACK:
                canceller.status = BROKEN
            case Deed.LIGHT_OUT:
                self._home.light.fail("gone")
            case Deed.TOKENS_UNREACHABLE:
                tokens.error = ProvisioningUnreachable("no route")
            case Deed.TOKENS_REFUSED:
                tokens.error = TokenRefused("no")
            case Deed.TOKENS_SLOW:
                tokens.delay_s = act.for_s
        await asyncio.sleep(act.for_s)
        room.unplugged, tokens.error, canceller.status = False, None, CONVERGED
        speaker.plug_in()

    async def _press(self, for_s: float) -> None:
        self._home.button.on_edge(ButtonEdge.DOWN)
        await asyncio.sleep(for_s)
        self._home.button.on_edge(ButtonEdge.UP)

    def _ask(self, for_s: float) -> None:
        self._home.room.ask(for_s)


@dataclass
class Witness:
    """Sees every moment."""

    home: Home
    answers: int = 0
    yields_since: float | None = None
    yieldings: Counter[Yielding] = field(default_factory=Counter)
    moments: list[Moment] = field(default_factory=list)

    def see(self, moment: Moment) -> None:
        shown = self.home.light.shown[-1][1]
        still_sends = moment.after.state in NOT_SENDING and shown not in NOT_SENDING
        assert shown is moment.after.state or still_sends, "the light lies"
        self.answers += isinstance(moment.event, PlaybackDrained) and moment.before.epoch != moment.after.epoch
        self.moments.append(moment)
        self._see_yielding(moment.before, moment.after)

    def _see_yielding(self, before: Context, after: Context) -> None:
        """Hold that a reply makes way for a while only."""
        now = asyncio.get_running_loop().time()
        if after.yieldings != before.yieldings:
            self.yields_since = now
            self.yieldings[after.yielding] += 1
        if before.yielding is not Yielding.NONE:
            assert self.yields_since is not None
            assert now - self.yields_since <= after.policy.duck_s + 0.1, "it is quiet for ever"


@dataclass
class Ending:
    """Result of a script."""

    rest_s: float = 0.0
    sent: int = 0
    repeated: int = 0
    dropped: int = 0
    last_words: int = 0
    """Those of which it was checked that the service could hear their end."""
    states: Counter[State] = field(default_factory=Counter)
    yieldings: Counter[Yielding] = field(default_factory=Counter)


async def play(script: Script) -> Ending:
    """Play a script; raise AssertionError, or whatever ends the daemon, where it does not end well."""
    ending = Ending()

    try:
        told = SimulatorOptions(voice_activity=script.activity, transcripts=script.transcripts)
        hostile = replace(told, replies=(SHORT, LONG, TOOLED), scenarios=script.scenarios)
        healthy = replace(told, replies=(ANSWER,))
        async with SimulatedService(hostile) as service, SimulatedService(healthy) as cured:
            canceller = Canceller()
            home = Home(service, settings(script.settings), adapt=canceller.adapt)
            home.connector.detection = {"prefixPaddingMs": script.padding_ms}
            witness = Witness(home)
            home.on_moment = witness.see
            if script.echo is not None:
                home.room.echo = Echo(home, *script.echo, taps=0)
            async with home.living() as appliance:
                await reach(appliance, State.IDLE)
                await asyncio.sleep(0.5)
                before = names()
                household = Household(home, canceller, appliance)
                for act in script.acts:
                    await household.act(act)
                await asyncio.sleep(0.2)  # the last word is still to be heard
                began = asyncio.get_running_loop().time()
                await rest(appliance)
                ending.rest_s = asyncio.get_running_loop().time() - began
                await at_rest(home, appliance, before)
                home.cure(cured)
                if script.echo is not None:
                    canceller.status = BROKEN  # that much of an echo has been cancelled by none
                await answers_again(home, appliance, witness)
                await rest(appliance)
                await at_rest(home, appliance, before)
                account(home, appliance)
                ending.last_words = check_trailing_audio(home.connector.links, witness.moments)
                counts = appliance.uplink.counts
                ending.sent, ending.repeated, ending.dropped = counts.sent, counts.repeated, counts.dropped
                ending.yieldings = witness.yieldings
                ending.states.update(moment.after.state for moment in witness.moments)
    except BaseException as error:
        error.add_note(f"{script}")
        raise
    return ending


def names() -> Counter[str]:
    """Count the running tasks by name, without the service's: it may hold a connection that we have left."""
    codes = [getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()]
    return Counter(code.co_qualname for code in codes if code and "/simulator/" not in code.co_filename)


async def rest(appliance: Appliance) -> None:
    """Wait for the state of rest that lasts."""
    async with asyncio.timeout(REST_S):
        while appliance.conversation.context.state is not State.IDLE:
            await asyncio.sleep(0.1)


async def at_rest(home: Home, appliance: Appliance, tasks: Counter[str]) -> None:
    """Check that nothing goes on, is open or is sent any more."""
    await asyncio.sleep(2.5)
    context, sent = appliance.conversation.context, appliance.uplink.counts.sent
    assert context.state is State.IDLE
    assert home.light.shown[-1][1] is State.IDLE
    assert deadline_s(context) is None
    assert not context.linked
    assert not context.tools
    assert gate(context) is Gate.CLOSED
    assert home.connector.connections == 0, "a link is open"
    left = names() - tasks
    assert not left, f"tasks are left: {left}"
    await asyncio.sleep(0.3)
    assert appliance.uplink.counts.sent == sent, "something is sent"


async def answers_again(home: Home, appliance: Appliance, witness: Witness) -> None:
    """Ask a service in good health, and hear its answer to the end."""
    answered = witness.answers
    home.room.ask(1.0)
    async with asyncio.timeout(ANSWER_S):
        while witness.answers == answered:
            await asyncio.sleep(0.1)
    assert SPOKEN[_FADE:].tobytes() in home.speaker.heard, "the answer is not whole"


def account(home: Home, appliance: Appliance) -> None:
    """Check sample by sample that what was said is lost or doubled only as far as that is counted."""
    counts = appliance.uplink.counts
    assert counts.captured + counts.repeated == counts.sent + counts.dropped
    runs = list(stretches(home))
    assert sum(stop - start for start, stop in runs) == counts.sent
    furthest = once = 0
    for start, stop in sorted(runs):
        once += max(0, stop - max(start, furthest))
        furthest = max(furthest, stop)
    assert counts.sent - once <= counts.repeated, "something is said twice"


def stretches(home: Home) -> Iterator[tuple[int, int]]:
    """Yield where in the microphone's samples lies what each link was sent, in stretches without a gap."""
    recorded = home.room.recorded
    for link in home.connector.links:
        start = stop = 0
        for chunk in link.audio:
            if recorded[2 * stop : 2 * stop + len(chunk)] != chunk:
                yield start, stop
                at = recorded.find(chunk)
                assert at >= 0, "nobody said that"
                start = stop = at // 2
            stop += len(chunk) // 2
        yield start, stop


async def test_whatever_befalls_it_it_comes_back_to_rest_and_works_again():
    seen: Counter[State] = Counter()
    yieldings: Counter[Yielding] = Counter()
    last_words = 0
    for seed in QUICK:
        ending = await play(draw(seed))
        seen, last_words = seen + ending.states, last_words + ending.last_words
        yieldings += ending.yieldings
    assert set(State) - set(seen) <= {State.STARTING, State.STOPPED}, "the scripts lead everywhere"
    assert last_words
    assert yieldings.keys() == {Yielding.DUCKED, Yielding.PAUSED}


@pytest.mark.slow
@pytest.mark.skipif("FUZZ_SEED" not in os.environ, reason="FUZZ_SEED names no script")
async def test_one_script_alone():
    script = draw(int(os.environ["FUZZ_SEED"]))
    print(script)  # noqa: T201  for whoever runs it alone
    print(await play(script))  # noqa: T201


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(SHARDS))
async def test_ten_thousand_scripts(shard: int):
    for seed in range(shard, SCRIPTS, SHARDS):
        await play(draw(seed))
