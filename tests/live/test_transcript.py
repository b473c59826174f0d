"""Transcripts are bounded and kept out of logs, and cut at the word that was heard last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.live.messages import Grounding, HeardText, Interrupted, SpokenText, TurnComplete
from appliance.live.model_capabilities import Capabilities, Feature, capabilities
from appliance.live.ports import HistorySeed, Role, SeedMethod, Turn
from appliance.live.transcript import (
    Piece,
    Transcript,
    TranscriptRecorder,
    TruncatedReply,
    heard_part,
    interruption_note,
)
from appliance.units import Epoch

ONE, TWO = Epoch(1), Epoch(2)
PERSON, MODEL = Role.PERSON, Role.MODEL
ANY_TIME = Capabilities(features=frozenset({Feature.CONTENT_AT_ANY_TIME}))
FIRST = Capabilities(features=frozenset({Feature.INITIAL_HISTORY}))


def said(*pieces: tuple[Role, str], **bounds: int) -> Transcript:
    transcript = Transcript(**bounds)
    for speaker, piece in pieces:
        transcript.add(speaker, piece)
    return transcript


DIALOGUE = [(PERSON, " What"), (PERSON, " time is it?"), (MODEL, "It is"), (MODEL, " noon.")]


def test_pieces_of_one_speaker_are_one_turn():
    assert said(*DIALOGUE).turns == (Turn(PERSON, "What time is it?"), Turn(MODEL, "It is noon."))


def test_a_complete_turn_is_not_continued():
    transcript = said(*DIALOGUE)
    transcript.end_turn()
    transcript.add(MODEL, " Anything else?")
    assert [turn.text for turn in transcript.turns] == ["What time is it?", "It is noon.", "Anything else?"]


def test_empty_pieces_leave_no_trace():
    assert said((PERSON, ""), (PERSON, "  ")).turns == ()


def test_of_an_interrupted_turn_only_what_was_heard_is_kept():
    transcript = said(*DIALOGUE)
    transcript.truncate_reply("It is")
    transcript.add(MODEL, "Sorry.")
    assert [turn.text for turn in transcript.turns] == ["What time is it?", "It is…", "Sorry."]


def test_an_answer_of_which_nothing_was_heard_was_not_given():
    transcript = said(*DIALOGUE)
    transcript.truncate_reply("")
    assert transcript.turns == (Turn(PERSON, "What time is it?"),)


def test_the_persons_own_words_are_not_cut():
    transcript = said(DIALOGUE[0])
    transcript.truncate_reply("x")
    assert transcript.turns == (Turn(PERSON, "What"),)


def test_what_is_sent_again_is_not_told_besides():
    transcript = said(*DIALOGUE, (PERSON, "And now?"))
    transcript.forget_unanswered()
    assert transcript.turns[-1] == Turn(MODEL, "It is noon.")
    transcript.forget_unanswered()
    assert transcript.turns[-1] == Turn(MODEL, "It is noon.")


def test_the_oldest_turns_go_first():
    assert [turn.text for turn in said(*DIALOGUE, (PERSON, "ok"), max_turns=2).turns] == ["It is noon.", "ok"]
    assert [turn.text for turn in said(*DIALOGUE, (PERSON, "ok"), max_characters=13).turns] == ["It is noon.", "ok"]
    assert [turn.text for turn in said(*DIALOGUE, (PERSON, "ok"), max_characters=12).turns] == ["ok"]


def test_of_a_turn_that_is_too_long_the_end_is_kept():
    assert said((PERSON, "one two three"), max_characters=5).turns == (Turn(PERSON, "three"),)


@given(
    st.lists(st.tuples(st.sampled_from(Role), st.text(max_size=30)), max_size=40),
    st.integers(1, 8),
    st.integers(1, 50),
)
def test_no_conversation_is_kept_beyond_its_bounds(pieces, max_turns, max_characters):
    transcript = said(*pieces, max_turns=max_turns, max_characters=max_characters)
    assert len(transcript.turns) <= max_turns
    assert sum(len(turn.text) for turn in transcript.turns) <= max_characters


def test_nothing_of_it_is_ever_shown():
    transcript = said(*DIALOGUE)
    seed = transcript.seed(ANY_TIME)
    for thing in (transcript, transcript.turns, seed, Piece("secret", 0)):
        assert not any(word in repr(thing) for word in ("time", "noon", "secret"))


@pytest.mark.parametrize(("known", "way"), [(ANY_TIME, SeedMethod.CONTENT), (FIRST, SeedMethod.INITIAL_HISTORY)])
def test_a_new_session_is_told_in_the_way_that_its_model_has(known, way):
    transcript = said(*DIALOGUE)
    assert transcript.seed(known) == HistorySeed(way, transcript.turns)


def test_there_is_no_seed_without_words_or_without_a_way():
    assert Transcript().seed(ANY_TIME) is None
    assert said(*DIALOGUE).seed(capabilities("gemini-9-live")) is None
    transcript = said(*DIALOGUE)
    transcript.forget()
    assert transcript.seed(ANY_TIME) is None


# What was heard

WORDS = [Piece("It is", 0), Piece(" noon", 1000), Piece(" in Rome.", 2000)]


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (-5, ""),
        (0, ""),
        (500, "It"),
        (999, "It"),
        (1000, "It is"),
        (1999, "It is"),
        (2000, "It is noon"),
        (2500, "It is noon in"),
        (2999, "It is noon in"),
        (3000, "It is noon in Rome."),
        (9000, "It is noon in Rome."),
    ],
)
def test_what_was_heard_ends_with_a_whole_word(heard, words):
    assert heard_part(WORDS, 3000, heard) == words


def test_a_transcript_that_ran_ahead_is_shared_out_over_the_audio():
    ahead = [Piece("one two", 0), Piece(" three four", 0)]
    assert heard_part(ahead, 1800, 900) == "one two"
    assert heard_part(ahead, 1800, 1300) == "one two three"


def test_a_transcript_that_came_after_the_audio_was_heard_with_it():
    late = [Piece("one two", 5000)]
    assert heard_part(late, 5000, 4000) == ""
    assert heard_part(late, 5000, 5000) == "one two"


def test_a_language_without_spaces_is_cut_between_letters():
    assert heard_part([Piece("今日は晴れです", 0)], 700, 300) == "今日は"


def test_no_transcript_means_no_words():
    assert heard_part([], 1000, 500) == ""


@given(
    st.lists(st.tuples(st.text(st.sampled_from("ab "), max_size=8), st.integers(0, 3000)), max_size=6),
    st.integers(0, 5000),
    st.integers(0, 5000),
)
def test_more_audio_is_never_fewer_words_and_all_of_it_is_all(pieces, one, other):
    ordered = [Piece(text, at) for text, at in sorted(pieces, key=lambda piece: piece[1])]
    everything = "".join(piece.text for piece in ordered)
    less, more = sorted((one, other))
    shorter, longer = heard_part(ordered, 3000, less), heard_part(ordered, 3000, more)
    assert longer.startswith(shorter)
    assert everything.startswith(longer)
    assert heard_part(ordered, 3000, 3000) == everything.rstrip()


def test_the_model_can_be_told_what_was_heard():
    assert '"It is"' in interruption_note(" It is ")
    assert "any" in interruption_note("  ")


def test_turns_are_told_when_they_are_complete():
    recorder = TranscriptRecorder()
    assert recorder.feed(HeardText(" What")) == ()
    assert recorder.feed(HeardText(" now?")) == ()
    assert recorder.feed(SpokenText(" Tea.")) == ()
    assert recorder.feed(TurnComplete()) == (Turn(Role.PERSON, "What now?"), Turn(Role.MODEL, "Tea."))
    assert recorder.feed(TurnComplete()) == ()


def test_what_was_looked_up_for_an_answer_is_kept_with_it_and_with_no_other():
    recorder = TranscriptRecorder()
    recorder.feed(Grounding(("https://a", "https://b")))
    recorder.feed(SpokenText("Rain."))
    recorder.feed(Grounding(("https://b", "https://c")))
    [turn] = recorder.feed(TurnComplete())
    assert turn.sources == ("https://a", "https://b", "https://c")
    assert "https" not in repr(turn)
    recorder.feed(HeardText("And tomorrow?"))
    recorder.feed(SpokenText("Sun."))
    assert [turn.sources for turn in recorder.feed(TurnComplete())] == [(), ()]


def test_an_answer_is_cut_where_it_was_heard_to():
    recorder = TranscriptRecorder()
    recorder.feed(SpokenText("One two"))
    recorder.received(ONE, 24_000)
    recorder.feed(SpokenText(" three four."))
    recorder.received(ONE, 24_000)
    recorder.feed(TurnComplete())
    cut = recorder.truncate(24_000)
    assert cut == TruncatedReply(
        24_000, 48_000, '(The person interrupted. Of your last answer they heard only: "One two")'
    )
    assert recorder.transcript.turns == (Turn(Role.MODEL, "One two…"),)
    assert recorder.truncate(24_000) is None, "once"


def test_words_before_the_first_audio_belong_to_it_and_those_of_the_answer_before_do_not():
    recorder = TranscriptRecorder()
    recorder.feed(SpokenText("First."))
    recorder.received(ONE, 24_000)
    recorder.feed(TurnComplete())
    recorder.feed(SpokenText(" Second."))
    recorder.received(TWO, 24_000)
    cut = recorder.truncate(0)
    assert cut is not None
    assert cut.note == "(The person interrupted before hearing any of your last answer.)"
    assert recorder.transcript.turns == (Turn(Role.MODEL, "First."),)
    assert recorder.epoch == TWO


def test_without_a_transcript_there_is_nothing_to_tell_the_model():
    recorder = TranscriptRecorder()
    recorder.feed(HeardText("What now?"))
    recorder.received(ONE, 24_000)
    recorder.feed(Interrupted())
    assert recorder.truncate(100) == TruncatedReply(100, 24_000, None)
    assert recorder.transcript.turns == (Turn(Role.PERSON, "What now?"),)


def test_what_was_heard_to_its_end_was_not_cut():
    recorder = TranscriptRecorder()
    assert recorder.truncate(0) is None
    recorder.received(ONE, 24_000)
    assert recorder.truncate(24_000) is None


def test_what_is_written_is_a_turn():
    recorder = TranscriptRecorder()
    recorder.feed(HeardText("a"))
    recorder.add_typed("b")
    assert [turn.text for turn in recorder.transcript.turns] == ["a", "b"]
