"""Whose words were said, and of an answer that was cut off, which were heard."""

from appliance.live.messages import Grounding, HeardText, Interrupted, SpokenText, TurnComplete
from appliance.live.ports import Role, Turn
from appliance.live.transcript_recorder import TranscriptRecorder, TruncatedReply
from appliance.units import Epoch

ONE, TWO = Epoch(1), Epoch(2)


def test_turns_are_told_when_they_are_complete():
    memory = TranscriptRecorder()
    assert memory.feed(HeardText(" What")) == ()
    assert memory.feed(HeardText(" now?")) == ()
    assert memory.feed(SpokenText(" Tea.")) == ()
    assert memory.feed(TurnComplete()) == (Turn(Role.PERSON, "What now?"), Turn(Role.MODEL, "Tea."))
    assert memory.feed(TurnComplete()) == ()


def test_what_was_looked_up_for_an_answer_is_kept_with_it_and_with_no_other():
    memory = TranscriptRecorder()
    memory.feed(Grounding(("https://a", "https://b")))
    memory.feed(SpokenText("Rain."))
    memory.feed(Grounding(("https://b", "https://c")))
    [turn] = memory.feed(TurnComplete())
    assert turn.sources == ("https://a", "https://b", "https://c")
    assert "https" not in repr(turn)
    memory.feed(HeardText("And tomorrow?"))
    memory.feed(SpokenText("Sun."))
    assert [turn.sources for turn in memory.feed(TurnComplete())] == [(), ()]


def test_an_answer_is_cut_where_it_was_heard_to():
    memory = TranscriptRecorder()
    memory.feed(SpokenText("One two"))
    memory.received(ONE, 24_000)
    memory.feed(SpokenText(" three four."))
    memory.received(ONE, 24_000)
    memory.feed(TurnComplete())
    cut = memory.cut(24_000)
    assert cut == TruncatedReply(
        24_000, 48_000, '(The person interrupted. Of your last answer they heard only: "One two")'
    )
    assert memory.transcript.turns == (Turn(Role.MODEL, "One two…"),)
    assert memory.cut(24_000) is None, "once"


def test_words_before_the_first_audio_belong_to_it_and_those_of_the_answer_before_do_not():
    memory = TranscriptRecorder()
    memory.feed(SpokenText("First."))
    memory.received(ONE, 24_000)
    memory.feed(TurnComplete())
    memory.feed(SpokenText(" Second."))
    memory.received(TWO, 24_000)
    cut = memory.cut(0)
    assert cut is not None
    assert cut.note == "(The person interrupted before hearing any of your last answer.)"
    assert memory.transcript.turns == (Turn(Role.MODEL, "First."),)
    assert memory.epoch == TWO


def test_without_a_transcript_there_is_nothing_to_tell_the_model():
    memory = TranscriptRecorder()
    memory.feed(HeardText("What now?"))
    memory.received(ONE, 24_000)
    memory.feed(Interrupted())
    assert memory.cut(100) == TruncatedReply(100, 24_000, None)
    assert memory.transcript.turns == (Turn(Role.PERSON, "What now?"),)


def test_what_was_heard_to_its_end_was_not_cut():
    memory = TranscriptRecorder()
    assert memory.cut(0) is None
    memory.received(ONE, 24_000)
    assert memory.cut(24_000) is None


def test_what_is_written_is_a_turn():
    memory = TranscriptRecorder()
    memory.feed(HeardText("a"))
    memory.written("b")
    assert [turn.text for turn in memory.transcript.turns] == ["a", "b"]
