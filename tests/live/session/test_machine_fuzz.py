"""Whatever a service, a person and the network do in whatever order, what the session machine promises holds."""

from dataclasses import FrozenInstanceError, dataclass, field, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core import events as ev
from appliance.core.state import Mode
from appliance.live import messages
from appliance.live.session import facts
from appliance.live.session.facts import FACTS, Fact, Output
from appliance.live.session.machine import TABLE, Row, step
from appliance.live.session.state import Phase, SessionState, reply_due, stuck_due, waiting
from appliance.live.session.transitions import CALLS_REMEMBERED
from appliance.units import Epoch, Seconds
from tests.live.session.story import LOUD, MUTE

SIMPLE: list[Fact] = [
    *[LOUD] * 4, MUTE, messages.GenerationComplete(), *map(messages.TurnComplete, [None, None, *messages.TurnReason]),
    messages.WaitingForInput(), *[messages.Interrupted()] * 2, messages.SpeechStarted(), messages.SpeechEnded(),
    messages.HeardText("x"), messages.SpokenText("x"), messages.GoAway(Seconds(9.0)), messages.UsageReported(1),
    messages.Grounding(()), messages.Thinking(), *map(messages.StatusReported, messages.Interaction),
    messages.HandleUpdated("h"), messages.HandleUpdated(None), facts.ConversationStarted(), facts.ConnectionClosed(),
    facts.TurnEnded(), facts.TextSent("x"), facts.ReplyDiscarded(), facts.Ticked(stalled=True), facts.RotationWanted(),
    *map(facts.TurnTaken, Mode), *[facts.Ticked()] * 3,
]  # fmt: skip
CALLS = st.sampled_from("123")
ANY: st.SearchStrategy[Fact | tuple[bool, float]] = st.one_of(
    st.sampled_from(SIMPLE),
    CALLS.map(lambda call: messages.ToolCall(call, "get_time", {})),
    CALLS.map(lambda call: messages.ToolCallsCancelled((call,))),
    CALLS.map(facts.ToolAnswered),
    st.builds(facts.ConnectionOpened, st.integers(1, 3), st.sampled_from(Mode), st.booleans(), st.booleans()),
    st.tuples(st.booleans(), st.floats(0, 2)),
    st.builds(facts.SpeechMeasured, st.sampled_from([0.1, 0.9]), st.sampled_from([0.02, 1.0]).map(Seconds)),
)


@dataclass
class World:
    """Keeps an account of replies, answers, calls and retries from the outputs alone."""

    state: SessionState = field(default_factory=SessionState)
    now: float = 100.0
    begun: int = 0
    playing: int = 0
    retries: int = 0
    answering: bool = False

    def take(self, fact: Fact) -> None:
        before, at = self.state, Seconds(self.now)
        self.state, outputs = step(before, fact, at)
        assert step(before, fact, at) == (self.state, outputs), "step is not pure"
        row = TABLE[type(fact)][before.connection.phase]
        allowed = row.to if isinstance(row, Row) else (before.connection.phase,)
        assert self.state.connection.phase in allowed, f"{before.connection.phase} + {fact} led elsewhere"
        speaks = isinstance(fact, facts.TurnTaken | facts.TextSent) or ev.UserSpeech in map(type, outputs)
        if fact == facts.ConversationStarted() or (speaks and not before.resending):
            self.retries = 0
        if isinstance(fact, facts.ConnectionOpened | facts.ConversationStarted | facts.ReplyDiscarded):
            self.playing = 0
        for output in outputs:
            self.execute(output)
        assert self.state.awaited <= self.state.tools
        assert self.state.audible_epoch <= self.state.epoch == self.begun
        assert len(self.state.connection.calls) <= CALLS_REMEMBERED
        assert self.answering or not self.state.answering or fact == facts.ConversationStarted()
        for due in (reply_due(self.state), stuck_due(self.state)):
            assert due is None or due > self.now or fact != facts.Ticked(), "it was due"

    def execute(self, output: Output) -> None:
        match output:
            case ev.ReplyStarted(link, epoch):
                assert (link, epoch) == (self.state.connection.link, self.begun + 1)
                self.begun = self.playing = epoch
            case facts.FirstAudio():
                self.take(output)
            case facts.ReplyChunk(epoch):
                assert epoch == self.playing, "audio of a reply that is over is played"
            case ev.ReplyEnded(_, epoch) if epoch:
                assert epoch == self.playing, "a reply ends twice, or was never begun"
                self.playing = 0
            case ev.ServerInterrupted():
                self.playing = 0
            case facts.AnswerStarted():
                self.answering = True
            case facts.AnswerEnded():
                self.answering = False
            case ev.Unanswered(_, repeatable):
                self.retries += repeatable
                assert self.retries <= 1, "what was said is asked again twice"
                assert not waiting(self.state)
            case _:
                pass

    def wait(self, seconds: float) -> None:
        """Let time go by, looking as often as something falls due."""
        end = self.now + seconds
        while True:
            dues = [due for due in (reply_due(self.state), stuck_due(self.state)) if due is not None and due <= end]
            if not dues:
                break
            self.now = max(self.now, min(dues))
            self.take(facts.Ticked())
        self.now = end


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(ANY, st.sampled_from([0.0, 0.0, 0.1, 1.0, 7.0])), max_size=60))
def test_whatever_happens_replies_are_heard_once_each_wait_ends_and_nothing_is_asked_three_times(steps):
    world = World()
    world.take(facts.ConnectionOpened(1, Mode.HANDS_FREE, continued=False, several_turns=False))
    for fact, seconds in steps:
        world.take(
            facts.SpeechResent(Seconds(world.now + fact[1]), finished=fact[0]) if isinstance(fact, tuple) else fact
        )
        world.wait(seconds)
    for call in "123":
        world.take(facts.ToolAnswered(call))
    world.wait(1000)
    assert not waiting(world.state), "somebody waits for ever"
    world.take(messages.TurnComplete())
    world.take(LOUD)
    assert world.playing == world.begun, "no later reply is played"


def test_for_every_phase_and_fact_there_is_a_row():
    assert set(TABLE) == set(FACTS)
    for rows in TABLE.values():
        assert sorted(rows, key=list(Phase).index) == list(Phase)


def test_the_state_is_frozen_and_shows_no_words():
    state, _ = step(SessionState(), facts.TextSent("a secret"), Seconds(0.0))
    assert "secret" not in repr(state)
    with pytest.raises(FrozenInstanceError):
        state.epoch = Epoch(1)  # type: ignore[misc]
    assert len(fields(state))
