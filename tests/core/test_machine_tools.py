"""Tools: started, bounded, cancelled, and never run twice for one question."""

import pytest

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.state import BargeIn, Policy, State, deadline_s
from tests.core.story import LOST, listening, thinking


def test_a_tool_runs_on_while_its_link_is_resumed_and_its_result_waits():
    story = thinking().tell(ev.ToolsCalled(1, ("a",)), LOST)
    assert not story.did(fx.CancelTools)
    assert story.tell(ev.ToolDone("a")).did(fx.SendToolResult) == [fx.SendToolResult("a")]
    story.tell(ev.LinkOpened(2, ev.Continuity.FULL))
    assert story.at(State.THINKING)
    assert not story.did(fx.ResendTurn), "what a tool has done is not done twice"


def test_an_answer_to_a_tool_whose_session_is_lost_cannot_be_had():
    story = thinking().tell(ev.ToolsCalled(1, ("a",)), LOST, ev.LinkOpened(2, ev.Continuity.PARTIAL))
    assert story.at(State.TROUBLE)
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.LOST)]
    assert story.did(fx.CancelTools) == [fx.CancelTools(("a",))]
    assert story.did(fx.CloseLink)


def test_tools_of_a_session_that_is_gone_are_stopped_where_the_person_has_the_word():
    story = thinking().tell(ev.ToolsCalled(1, ("a",)), ev.UserSpeech(1), LOST, ev.LinkOpened(2))
    assert story.at(State.LISTENING)
    assert story.did(fx.CancelTools) == [fx.CancelTools(("a",))]


def test_a_question_that_a_tool_has_acted_upon_is_not_asked_again():
    story = thinking().tell(ev.ToolsCalled(1, ("a",)), ev.ToolDone("a"), ev.Unanswered(1, repeatable=True))
    assert story.at(State.TROUBLE)
    story = thinking().tell(ev.ToolsCalled(1, ("a",)), ev.ToolDone("a"))
    story.tell(ev.ReplyStarted(1, 1), ev.ReplyEnded(1, 1), ev.PlaybackDrained(1))
    assert not story.context.tool_ran, "the next question may be"


def test_a_slow_tool_is_heard_where_there_is_silence():
    story = thinking().tell(ev.ToolsCalled(1, ("a",)))
    assert deadline_s(story.context) == Policy().tools_s
    assert story.tell(ev.ToolSlow("a")).effects == (fx.PlayEarcon(fx.Earcon.WORKING),)
    assert not story.tell(ev.ToolSlow("b")).did(fx.PlayEarcon)
    assert not story.tell(ev.ReplyStarted(1, 1), ev.ToolSlow("a")).did(fx.PlayEarcon)


def test_tools_run_while_thinking_and_their_results_are_sent():
    story = listening().tell(ev.ToolsCalled(1, ("a", "b")))
    assert story.at(State.THINKING)
    assert story.did(fx.StartTools) == [fx.StartTools(("a", "b"))]
    assert story.tell(ev.ToolDone("a")).did(fx.SendToolResult) == [fx.SendToolResult("a")]
    assert story.tell(ev.ToolsCancelled(1, ("b", "z"))).effects == (fx.CancelTools(("b",)),)
    assert not story.tell(ev.ToolDone("b")).did(fx.SendToolResult)


def test_calls_beyond_the_bound_are_refused_and_further_ones_end_in_an_apology():
    story = listening()
    most = Policy().tool_calls
    for number in range(most):
        story.tell(ev.ToolsCalled(1, (f"{number}",)))
        assert fx.StartTools((f"{number}",)) in story.effects
        story.tell(ev.ToolDone(f"{number}"))
    story.tell(ev.ToolsCalled(1, ("too many",)))
    assert story.did(fx.RefuseTools) == [fx.RefuseTools(("too many",))]
    story.tell(ev.ToolsCalled(1, ("beside it",)))
    assert story.did(fx.RefuseTools) == [fx.RefuseTools(("beside it",))], "the model does not know of a refusal yet"
    assert story.tell(ev.ToolDone("too many"), ev.ToolDone("beside it")).at(State.THINKING)
    assert story.tell(ev.ToolsCalled(1, ("again",))).at(State.TROUBLE)
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.SILENT_SERVICE)]


def test_calls_are_refused_once_the_time_for_them_is_over_until_the_person_speaks_again():
    story = listening().tell(ev.ToolsCalled(1, ("a",)))
    (timer,) = story.did(fx.StartTimer)
    assert timer == fx.StartTimer(ev.ToolTimeOver(story.context.question), Policy().tool_time_s)
    assert not story.tell(ev.ToolDone("a"), ev.ToolsCalled(1, ("b",))).did(fx.StartTimer), "it runs"
    story.tell(ev.ToolDone("b"), timer.expiry, ev.ToolsCalled(1, ("c",)))
    assert story.did(fx.RefuseTools)
    story.tell(ev.ToolDone("c"), ev.UserSpeech(1), timer.expiry, ev.UserSilent(1), ev.ToolsCalled(1, ("d",)))
    assert story.did(fx.StartTools) == [fx.StartTools(("d",))]


def test_a_turn_without_audio_waits_for_the_tools():
    story = listening().tell(ev.ToolsCalled(1, ("a",)), ev.ReplyEnded(1, 0))
    assert story.at(State.THINKING)


def test_a_turn_without_audio_does_not_stand_for_the_last_words_while_a_tool_runs():
    story = listening().tell(ev.ToolsCalled(1, ("a",)), ev.EndRequested(), ev.ReplyEnded(1, 0))
    assert story.at(State.FAREWELL)
    assert not story.did(fx.FinishReply)
    assert story.tell(ev.ToolDone("a"), ev.ReplyEnded(1, 0)).at(State.IDLE)


@pytest.mark.parametrize("interruption", [ev.WakeDetected(500), ev.ServerInterrupted(1)])
def test_a_new_question_is_asked_again_though_a_tool_has_acted_upon_the_one_before(interruption: ev.Event):
    story = listening(BargeIn.VOICE).tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ToolsCalled(1, ("a",)))
    story.tell(ev.ToolDone("a"), ev.ReplyStarted(1, 7), interruption, ev.UserSpeech(1)).deadline()
    story.tell(ev.UserSilent(1), ev.Unanswered(1, repeatable=True))
    assert story.at(State.RECONNECTING)
