"""Greetings, goodbyes, caps, and conversations that have lasted long enough."""

import pytest

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.machine import step
from appliance.core.state import Context, Policy, State, Talk, deadline_s, gate, wake_armed
from tests.core.story import CLOSED, Story, listening, speaking, thinking


def test_a_cap_lets_the_answer_be_heard_and_ends_the_conversation_with_a_word():
    cap = ev.CapReached(1, ev.Trouble.CAP_DAY)
    story = speaking().tell(cap)
    assert story.at(State.SPEAKING)
    story.tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.CAP_DAY)]
    assert listening().tell(cap).did(fx.Announce)
    assert thinking().tell(cap, ev.ReplyEnded(1, 0)).did(fx.Announce)
    assert speaking().tell(cap, ev.ServerInterrupted(1)).deadline().did(fx.Announce)
    assert Story().tell(ev.Ready(), ev.WakeDetected(0)).context.cap is None


def test_a_requested_end_lets_the_model_say_goodbye():
    story = listening().tell(ev.ToolsCalled(1, ("a",)), ev.EndRequested(), ev.ToolDone("a"))
    assert story.at(State.FAREWELL)
    story.tell(ev.ReplyStarted(1, 2), ev.ReplyEnded(1, 2), ev.PlaybackDrained(2))
    assert story.at(State.IDLE)


def test_last_words_may_take_as_long_as_any_reply():
    story = listening().tell(ev.EndRequested())
    assert deadline_s(story.context) == Policy().farewell_s, "they must begin soon"
    story.tell(ev.ReplyStarted(1, 2))
    assert story.did(fx.Enter) == [fx.Enter(State.FAREWELL, story.context.entry, Policy().speaking_s)]
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.LinkLost(1, resumable=False, trouble=ev.Trouble.NETWORK))
    assert deadline_s(story.context) == Policy().speaking_s


def greeting(*events: ev.Event) -> Story:
    story = Story()
    story.context = Context(Policy(greeting="Ask what you can do.", greeting_s=3.0))
    return story.tell(ev.Ready(), ev.WakeDetected(100), ev.LinkOpened(1), *events)


def test_with_a_greeting_the_model_speaks_first_where_nothing_follows_the_wake_word_and_once_only():
    story = greeting()
    assert deadline_s(story.context) == 3.0
    assert story.deadline().at(State.THINKING)
    assert story.did(fx.SendText) == [fx.SendText("Ask what you can do.")]
    story.tell(ev.ReplyStarted(1, 7), ev.WakeDetected(200)).deadline()
    assert story.at(State.LISTENING)
    assert story.deadline().at(State.IDLE)


@pytest.mark.parametrize("said", [ev.UserSpeech(1), ev.ButtonPressed(200)])
def test_a_person_who_speaks_is_not_greeted(said: ev.Event):
    story = greeting(said)
    assert (deadline_s(story.context) or 0) > 3.0
    assert story.deadline().did(fx.SendText) == []


def test_a_conversation_that_has_lasted_long_ends_after_the_answer_with_a_goodbye():
    story = Story().tell(ev.Ready(), ev.WakeDetected(0))
    over = ev.ConversationTimeOver(story.context.request)
    assert story.did(fx.StartTimer) == [fx.StartTimer(over, Policy().longest_s)]
    story.tell(ev.LinkOpened(1), ev.UserSilent(1), ev.ReplyStarted(1, 7), over)
    assert story.at(State.SPEAKING)
    assert story.tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7)).at(State.FAREWELL)
    assert story.did(fx.SendText) == [fx.SendText("Say goodbye.")]
    assert gate(story.context) is CLOSED
    assert wake_armed(story.context)
    assert story.tell(ev.ReplyStarted(1, 8), ev.ReplyEnded(1, 8), ev.PlaybackDrained(8)).at(State.IDLE)


def test_a_conversation_that_has_lasted_long_ends_while_somebody_talks_on():
    story = Story().tell(ev.Ready(), ev.WakeDetected(0), ev.LinkOpened(1), ev.UserSpeech(1), ev.ConversationTimeOver(1))
    assert story.at(State.FAREWELL)
    story = listening().tell(ev.UserSilent(1), ev.ConversationTimeOver(1), ev.UserSpeech(1))
    assert story.at(State.FAREWELL)


@pytest.mark.parametrize("again", [ev.WakeDetected(0), ev.ButtonPressed(0), ev.TextEntered("hello")])
def test_whoever_asks_for_the_conversation_anew_has_all_its_time_again(again: ev.Event):
    story = listening().tell(ev.UserSilent(1), ev.ConversationTimeOver(1), again)
    assert not story.context.overtime
    assert fx.StartTimer(ev.ConversationTimeOver(2), Policy().longest_s) in story.effects
    assert not story.tell(ev.ConversationTimeOver(1)).context.overtime, "that time is no longer counted"


def test_turns_that_the_model_leaves_unanswered_end_the_conversation():
    story = listening()
    for _ in range(Policy().unanswered_turns - 1):
        assert story.tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ReplyEnded(1, 0)).at(State.LISTENING)
    story.tell(ev.UserSilent(1), ev.ReplyStarted(1, 7), ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
    for _ in range(Policy().unanswered_turns - 1):
        assert story.tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ReplyEnded(1, 0)).at(State.LISTENING)
    assert story.tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ReplyEnded(1, 0)).at(State.IDLE)
    assert story.did(fx.PlayEarcon) == [fx.PlayEarcon(fx.Earcon.END)]


def test_a_conversation_that_has_lasted_long_does_not_end_while_the_button_is_held():
    context = Context(Policy(farewell="Goodbye."))
    for event in (ev.Ready(), ev.ButtonPressed(0), ev.LinkOpened(1)):
        context, _ = step(context, event)
    for later in (ev.ConversationTimeOver(context.request), ev.UserSpeech(1)):
        context, _ = step(context, later)
        assert (context.state, context.talk) == (State.LISTENING, Talk.HELD)


def test_a_cap_counts_more_than_an_answer_that_was_declined():
    story = speaking().tell(ev.CapReached(1, ev.Trouble.CAP_DAY), ev.ReplyEnded(1, 7), ev.TurnRefused(1))
    assert story.tell(ev.PlaybackDrained(7)).context.trouble is ev.Trouble.CAP_DAY
