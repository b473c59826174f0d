"""Which audio belongs to which reply, and which is dropped; a reply ends once, in every order of messages."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.events import ReplyEnded, ReplyStarted, ServerInterrupted
from appliance.live.messages import (
    GenerationComplete,
    GoAway,
    HeardText,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    SpokenText,
    ToolCall,
    TurnComplete,
    UsageReported,
)
from appliance.live.session.facts import Fact, ReplyChunk, ReplyDiscarded
from appliance.live.session.transitions import STALE_S
from appliance.units import Epoch, Seconds
from tests.live.session.story import LINK, Story

A, B, C = (ReplyAudio(bytes([n, n])) for n in (1, 2, 3))
SAID = HeardText("hello")
CALL = ToolCall("1", "get_time", {})


ReplyFact = ReplyChunk | ReplyStarted | ReplyEnded | ServerInterrupted


def fed(story: Story, *facts: Fact) -> list[ReplyFact]:
    """Return what follows for the replies."""
    return [output for output in story.take(*facts) if isinstance(output, ReplyFact)]


def started(epoch: int) -> ReplyStarted:
    return ReplyStarted(LINK, epoch)


def chunk(epoch: int, audio: ReplyAudio) -> ReplyChunk:
    return ReplyChunk(Epoch(epoch), audio.pcm)


def test_a_reply_begins_with_its_first_audio_and_ends_once():
    facts = fed(Story(), A, B, GenerationComplete(), TurnComplete())
    assert facts == [started(1), chunk(1, A), chunk(1, B), ReplyEnded(LINK, 1)]


def test_turn_complete_ends_a_reply_that_nothing_else_has_ended():
    assert fed(Story(), A, TurnComplete()) == [started(1), chunk(1, A), ReplyEnded(LINK, 1)]


def test_a_turn_without_audio_ends_once_and_with_no_epoch():
    assert fed(Story(), GenerationComplete(), TurnComplete()) == [ReplyEnded(LINK, 0)]


def test_epochs_go_on_from_link_to_link():
    story = Story()
    fed(story, A)
    story.reconnect(link=8)
    assert fed(story, B) == [ReplyStarted(8, 2), chunk(2, B)]


def test_after_an_interruption_nothing_is_admitted_until_the_turn_has_ended():
    story = Story()
    assert fed(story, A, Interrupted()) == [started(1), chunk(1, A), ServerInterrupted(LINK)]
    assert story.take(B) == []
    assert story.state.dropped_bytes == len(B.pcm)
    assert fed(story, TurnComplete(), C) == [started(2), chunk(2, C)]


@pytest.mark.parametrize("sign", [SAID, SpeechEnded(), CALL], ids=["transcript", "silence", "tool call"])
def test_an_interruption_that_is_never_followed_by_an_end_does_not_mute_the_next_turn(sign):
    facts = fed(Story(), A, Interrupted(), B, sign, C)
    assert facts == [started(1), chunk(1, A), ServerInterrupted(LINK), started(2), chunk(2, C)]


def test_nor_does_it_where_the_service_tells_nothing_at_all_before_the_next_turn():
    story = Story()
    fed(story, A, Interrupted())
    for _ in range(2):
        story.now += STALE_S / 2
        assert fed(story, B) == [], "it is still the old one"
    story.now += STALE_S
    assert fed(story, C) == [started(2), chunk(2, C)]


def test_what_we_discard_does_not_begin_anew_after_a_pause():
    story = Story()
    fed(story, A)
    story.take(ReplyDiscarded())
    story.now += 60.0
    assert fed(story, B) == []


def test_an_end_that_comes_after_such_a_sign_is_not_taken_for_a_silent_turn():
    assert fed(Story(), A, Interrupted(), SAID, TurnComplete()) == [started(1), chunk(1, A), ServerInterrupted(LINK)]


@pytest.mark.parametrize(
    "before",
    [[], [TurnComplete()], [A, GenerationComplete()], [A, TurnComplete()]],
    ids=["before any turn", "after a silent turn", "while it is played", "after the turn"],
)
def test_an_interruption_while_no_audio_is_sent_swallows_nothing(before):
    story = Story()
    fed(story, *before)
    assert fed(story, Interrupted()) == [ServerInterrupted(LINK)]
    assert [type(fact) for fact in fed(story, B, TurnComplete())] == [ReplyStarted, ReplyChunk, ReplyEnded]


def test_an_interrupted_turn_has_no_other_end():
    assert fed(Story(), Interrupted(), TurnComplete()) == [ServerInterrupted(LINK)]


@pytest.mark.parametrize("boundary", [[GenerationComplete(), TurnComplete()], [TurnComplete()]], ids=["both", "one"])
def test_what_we_discard_is_dropped_until_its_turn_ends_and_is_not_reported(boundary):
    story = Story()
    fed(story, A)
    story.take(ReplyDiscarded())
    assert fed(story, B, SAID, B, *boundary) == []
    assert fed(story, C) == [started(2), chunk(2, C)]


def test_the_services_interruption_of_what_we_have_discarded_is_no_news():
    story = Story()
    fed(story, A)
    story.take(ReplyDiscarded())
    assert fed(story, B, Interrupted(), B, TurnComplete(), C) == [started(2), chunk(2, C)]


def test_with_no_audio_under_way_there_is_nothing_to_discard():
    story = Story()
    story.take(ReplyDiscarded())
    facts = fed(story, A, GenerationComplete())
    story.take(ReplyDiscarded())
    facts += fed(story, TurnComplete(), B)
    assert facts == [started(1), chunk(1, A), ReplyEnded(LINK, 1), started(2), chunk(2, B)]


# Any conversation that the service may legally hold

DISCARD = "discard"
Step = LinkMessage | str


@dataclass(frozen=True)
class Turn:
    """Steps of one turn of the model, and what the story is to make of them."""

    steps: tuple[Step, ...]
    expected: tuple[ReplyAudio | str, ...]
    owes_end: bool = False
    """The turn leaves its TurnComplete to be swallowed."""


REMARKS: list[LinkMessage] = [SAID, SpokenText("x"), SpeechStarted(), UsageReported(1), GoAway(Seconds(9.0)), CALL]
CHATTER = st.lists(st.sampled_from(REMARKS), max_size=2)
AUDIO = st.binary(min_size=2, max_size=2).map(ReplyAudio)


@st.composite
def spoken(draw: st.DrawFn) -> Turn:
    heard = tuple(draw(st.lists(AUDIO, min_size=1, max_size=4)))
    ends: tuple[Step, ...] = draw(st.sampled_from([(GenerationComplete(), TurnComplete()), (TurnComplete(),)]))
    return Turn((*draw(CHATTER), *heard, *ends), ("started", *heard, "ended"))


@st.composite
def interrupted(draw: st.DrawFn) -> Turn:
    heard = tuple(draw(st.lists(AUDIO, min_size=1, max_size=4)))
    stale = tuple(draw(st.lists(AUDIO, max_size=3)))
    ends: list[Step] = [TurnComplete(), SAID, SpeechEnded()]
    end = draw(st.sampled_from(ends))
    steps = (*heard, Interrupted(), *stale, end)
    return Turn(steps, ("started", *heard, "cut"), owes_end=not isinstance(end, TurnComplete))


@st.composite
def discarded(draw: st.DrawFn) -> Turn:
    heard = tuple(draw(st.lists(AUDIO, min_size=1, max_size=4)))
    stale = tuple(draw(st.lists(st.one_of(AUDIO, st.just(SAID)), max_size=4)))
    noticed: tuple[Step, ...] = draw(st.sampled_from([(), (Interrupted(),), (GenerationComplete(),)]))
    return Turn((*heard, DISCARD, *stale, *noticed, TurnComplete()), ("started", *heard))


@st.composite
def interrupted_while_played(draw: st.DrawFn) -> Turn:
    heard = tuple(draw(st.lists(AUDIO, min_size=1, max_size=4)))
    ends: tuple[LinkMessage, ...] = draw(
        st.sampled_from(
            [
                (GenerationComplete(), Interrupted(), TurnComplete()),
                (GenerationComplete(), TurnComplete(), Interrupted()),
            ]
        )
    )
    owes = isinstance(ends[-1], Interrupted)
    return Turn((*heard, *ends), ("started", *heard, "ended", "cut"), owes_end=owes)


SILENT = Turn((TurnComplete(),), ("silent",))
TURNS = st.lists(
    st.one_of(spoken(), interrupted(), discarded(), interrupted_while_played(), st.just(SILENT)), max_size=8
)


def play(story: Story, steps: Iterable[Step]) -> list[ReplyFact]:
    facts: list[ReplyFact] = []
    for step in steps:
        facts += fed(story, ReplyDiscarded() if isinstance(step, str) else step)
    return facts


def expected_facts(turn: Turn, epoch: int) -> list[ReplyFact]:
    named: dict[str, ReplyFact] = {
        "started": started(epoch),
        "ended": ReplyEnded(LINK, epoch),
        "silent": ReplyEnded(LINK, 0),
        "cut": ServerInterrupted(LINK),
    }
    return [named[item] if isinstance(item, str) else chunk(epoch, item) for item in turn.expected]


@settings(deadline=None, max_examples=150)
@given(TURNS)
def test_in_every_legal_order_each_turn_is_heard_as_far_as_it_should_be(turns: list[Turn]) -> None:
    story = Story()
    epoch = 0
    owed = False
    for turn in turns:
        epoch += "started" in turn.expected
        swallowed = owed and turn == SILENT
        assert play(story, turn.steps) == ([] if swallowed else expected_facts(turn, epoch))
        owed = turn.owes_end


@settings(deadline=None, max_examples=150)
@given(st.lists(st.sampled_from([A, GenerationComplete(), TurnComplete(), Interrupted(), SAID, CALL, DISCARD])))
def test_in_no_order_at_all_does_the_story_stay_shut_or_a_reply_end_twice(steps: list[Step]) -> None:
    story = Story()
    facts = play(story, steps)
    ends = [fact.epoch for fact in facts if isinstance(fact, ReplyEnded) and fact.epoch]
    begins = [fact.epoch for fact in facts if isinstance(fact, ReplyStarted)]
    assert ends == sorted(set(ends))
    assert begins == list(range(1, len(begins) + 1))
    assert fed(story, TurnComplete(), B)[-1] == chunk(len(begins) + 1, B)
