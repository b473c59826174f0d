"""Links that cannot be opened, or are lost: resumed, replaced or given up."""

import pytest

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.state import Listening, Mode, Policy, State, gate, wake_armed
from tests.core.story import HOLD, LOST, LOST_AGAIN, Story, listening, speaking, thinking


@pytest.mark.parametrize("trouble", ev.Trouble)
def test_a_link_that_cannot_be_opened_is_told_in_words(trouble: ev.Trouble):
    story = Story().tell(ev.Ready(), ev.WakeDetected(0), ev.LinkFailed(1, trouble))
    assert story.at(State.TROUBLE)
    assert story.did(fx.Announce) == [fx.Announce(trouble)]
    assert not story.did(fx.CloseLink), "there is none to close"
    assert wake_armed(story.context)


def test_a_lost_link_is_resumed_and_what_is_said_meanwhile_is_held():
    story = listening().tell(ev.UserSpeech(1), ev.LinkLost(1, resumable=True, trouble=ev.Trouble.NETWORK))
    assert story.at(State.RECONNECTING)
    assert story.did(fx.OpenLink) == [fx.OpenLink(2, Mode.HANDS_FREE, fx.Session.RESUME)]
    assert gate(story.context) is HOLD
    assert story.tell(ev.LinkOpened(2)).at(State.LISTENING)
    assert story.context.listening is Listening.SPEECH


def test_an_answer_that_is_lost_with_its_link_is_asked_for_once_more():
    for story in (speaking(), thinking()):
        story.tell(LOST, ev.LinkOpened(2))
        assert story.at(State.THINKING)
        assert story.did(fx.ResendTurn) == [fx.ResendTurn()]
        assert not story.context.answer_pending


def test_what_the_person_is_saying_is_sent_again_to_a_session_that_has_not_heard_its_beginning():
    story = listening().tell(ev.UserSpeech(1), LOST)
    assert story.tell(ev.LinkOpened(2)).did(fx.ResendUnconfirmed)
    story.tell(LOST_AGAIN)
    assert not story.tell(ev.LinkOpened(3, ev.Continuity.FULL)).did(fx.ResendUnconfirmed)


def test_an_answer_that_breaks_off_is_asked_for_once_more_on_a_new_session():
    story = speaking().tell(ev.PlaybackStalled(7))
    assert story.at(State.RECONNECTING)
    assert story.did(fx.OpenLink) == [fx.OpenLink(2, Mode.HANDS_FREE, fx.Session.NEW)]
    assert story.tell(ev.LinkOpened(2)).did(fx.ResendTurn)


def test_who_takes_the_word_after_a_loss_gets_no_old_answer():
    story = thinking().tell(LOST, ev.ButtonPressed(5), ev.LinkOpened(2))
    assert story.at(State.LISTENING)
    assert not story.did(fx.ResendTurn)


def test_what_kept_a_link_from_opening_is_told_when_the_time_is_over():
    story = Story().tell(ev.Ready(), ev.WakeDetected(0), ev.LinkDelayed(1, ev.Trouble.CLOCK))
    assert story.at(State.CONNECTING)
    assert story.deadline().did(fx.Announce) == [fx.Announce(ev.Trouble.CLOCK)]
    story = Story().tell(ev.Ready(), ev.WakeDetected(0)).deadline()
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.NETWORK)]


@pytest.mark.parametrize(("speaks", "state"), [(True, State.RECONNECTING), (False, State.IDLE)])
def test_a_link_that_is_lost_while_one_could_go_on_is_resumed_for_whoever_speaks(speaks: bool, state: State):
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
    assert story.context.listening is Listening.FOLLOW_UP
    lost = ev.LinkLost(1, resumable=True, trouble=ev.Trouble.NETWORK, speaks=speaks)
    assert story.tell(lost).at(state)


def test_a_link_that_is_lost_again_and_again_is_given_up_until_the_model_has_spoken():
    def lose(story: Story) -> Story:
        link = story.context.link
        story.tell(ev.UserSpeech(link), ev.LinkLost(link, resumable=True, trouble=ev.Trouble.NETWORK))
        return story.tell(ev.LinkOpened(link + 1))

    story = listening()
    for _ in range(Policy().resumptions):
        assert lose(story).at(State.LISTENING)
    assert lose(story).at(State.TROUBLE)

    story = lose(lose(listening()))
    story.tell(ev.ReplyStarted(3, 1), ev.ReplyEnded(3, 1), ev.PlaybackDrained(1))
    for _ in range(Policy().resumptions):
        assert lose(story).at(State.LISTENING)


def test_answers_that_break_off_again_and_again_are_given_up():
    story = thinking()
    for link in range(1, Policy().resumptions + 1):
        story.tell(ev.ReplyStarted(link, link), ev.LinkLost(link, resumable=True, trouble=ev.Trouble.LOST))
        assert story.tell(ev.LinkOpened(link + 1)).at(State.THINKING)
    link = story.context.link
    story.tell(ev.ReplyStarted(link, link), ev.LinkLost(link, resumable=True, trouble=ev.Trouble.LOST))
    assert story.at(State.TROUBLE)


def test_a_link_lost_in_the_follow_up_window_ends_quietly():
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
    story.tell(ev.LinkLost(1, resumable=True, trouble=ev.Trouble.NETWORK))
    assert story.at(State.IDLE)
    assert not story.did(fx.Announce)


def test_a_link_lost_after_the_whole_reply_came_lets_it_be_heard():
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.LinkLost(1, resumable=False, trouble=ev.Trouble.NETWORK))
    assert story.at(State.FAREWELL)
    assert not story.did(fx.FlushPlayback)
    assert story.tell(ev.PlaybackDrained(7)).at(State.IDLE)
