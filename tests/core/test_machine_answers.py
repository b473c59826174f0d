"""Answers: awaited, asked for again, declined, or from nobody's question."""

import pytest

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.state import Listening, Mode, Policy, State
from tests.core.story import listening, speaking, thinking


def test_silence_that_the_model_chose_ends_the_turn_quietly():
    story = listening().tell(ev.UserSilent(1), ev.ReplyEnded(1, 0))
    assert story.at(State.LISTENING)
    assert not story.did(fx.Announce)


def test_an_answer_that_never_comes_is_told():
    story = listening().tell(ev.UserSilent(1)).deadline()
    assert story.at(State.TROUBLE)
    assert story.context.trouble is ev.Trouble.SILENT_SERVICE
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.SILENT_SERVICE)]
    assert story.deadline().at(State.IDLE)
    assert story.context.trouble is None


def test_a_service_that_does_not_answer_is_asked_once_more_on_a_new_session():
    story = thinking().tell(ev.Unanswered(1, repeatable=True))
    assert story.at(State.RECONNECTING)
    assert story.effects[0] == fx.CloseLink(1)
    assert story.did(fx.OpenLink) == [fx.OpenLink(2, Mode.HANDS_FREE, fx.Session.NEW)]
    assert story.tell(ev.LinkOpened(2)).did(fx.ResendTurn)
    story.tell(ev.Unanswered(2, repeatable=False))
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.SILENT_SERVICE)]


def test_a_service_that_works_on_is_waited_for_after_what_it_has_said_and_only_idle_ends_that():
    story = speaking().tell(ev.InteractionReported(1, in_progress=True), ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
    assert story.at(State.THINKING)
    assert story.tell(ev.ReplyEnded(1, 0)).at(State.THINKING), "a turn without audio is not the last"
    assert story.tell(ev.ReplyStarted(1, 8), ev.ReplyEnded(1, 8), ev.PlaybackDrained(8)).at(State.THINKING)
    assert story.tell(ev.InteractionReported(1, in_progress=False)).at(State.LISTENING)
    assert story.context.listening is Listening.FOLLOW_UP


def test_a_report_that_comes_after_what_was_said_is_played_still_counts():
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7), ev.InteractionReported(1, in_progress=True))
    assert story.at(State.THINKING)
    assert story.tell(ev.UserSpeech(1)).at(State.LISTENING), "the person may go on"
    assert story.deadline().at(State.THINKING), "and is not left while the service works"


def test_a_model_that_waits_for_more_gives_the_person_the_word():
    assert thinking().tell(ev.InputAwaited(1)).at(State.LISTENING)


def test_a_question_that_may_not_be_answered_is_told_in_words_once_what_there_is_was_heard():
    story = thinking().tell(ev.TurnRefused(1))
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.DECLINED)]
    story = speaking().tell(ev.TurnRefused(1), ev.ReplyEnded(1, 7))
    assert story.at(State.SPEAKING)
    assert story.tell(ev.PlaybackDrained(7)).did(fx.Announce) == [fx.Announce(ev.Trouble.DECLINED)]


def test_what_nobody_but_the_microphone_has_heard_is_no_reason_to_apologise():
    story = thinking().tell(ev.Unanswered(1, repeatable=False, heard=False))
    assert story.at(State.IDLE)
    assert not story.did(fx.Announce)


def test_after_some_answers_in_a_row_a_person_has_to_have_asked_for_the_next():
    story = listening()
    for number in range(1, Policy().trusted_answers + 1):
        story.tell(ev.UserSilent(1), ev.ReplyStarted(1, number))
        assert not story.did(fx.CheckWhoAsked)
        assert story.tell(ev.ReplyEnded(1, number), ev.PlaybackDrained(number)).at(State.LISTENING)
    story.tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ReplyStarted(1, 9))
    assert story.did(fx.CheckWhoAsked)
    story.tell(ev.NobodyAsked(1))
    assert story.at(State.IDLE)
    assert story.effects[:3] == (fx.FlushPlayback(), fx.DiscardReply(), fx.DropUnsent())


def test_what_the_model_adds_to_its_answer_and_what_a_wake_word_asked_for_needs_no_proof():
    story = listening()
    for number in range(1, Policy().trusted_answers + 1):
        story.tell(ev.UserSilent(1), ev.ReplyStarted(1, number), ev.ReplyEnded(1, number), ev.PlaybackDrained(number))
    story.tell(ev.UserSilent(1), ev.ReplyStarted(1, 8), ev.ToolsCalled(1, ("a",)), ev.ReplyEnded(1, 8))
    story.tell(ev.PlaybackDrained(8), ev.ToolDone("a"), ev.ReplyStarted(1, 9))
    assert not story.did(fx.CheckWhoAsked), "it goes on after a tool"
    story.tell(ev.ReplyEnded(1, 9), ev.PlaybackDrained(9), ev.WakeDetected(0), ev.UserSilent(1), ev.ReplyStarted(1, 10))
    assert not story.did(fx.CheckWhoAsked)


@pytest.mark.parametrize("goes_on", [ev.WakeDetected(500), ev.ButtonPressed(500), ev.ServerInterrupted(1)])
def test_a_person_who_goes_on_after_an_answer_that_was_declined_has_the_word(goes_on: ev.Event):
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.TurnRefused(1), goes_on).deadline()
    assert story.at(State.LISTENING)
    story.tell(ev.ButtonReleased(ev.Press.HOLD, 900), ev.UserSpeech(1), ev.UserSilent(1))
    story.tell(ev.ReplyStarted(1, 8), ev.ReplyEnded(1, 8), ev.PlaybackDrained(8))
    assert story.at(State.LISTENING)
