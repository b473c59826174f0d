"""A person who speaks over a reply: it makes way at once, and plays on unless the service was interrupted."""

import pytest

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.state import BargeIn, Listening, Mode, Policy, State, Yielding, gate
from tests.core.story import CLOSED, OPEN, Story, beginning, held, speaking

SUSPECTED, CONFIRMED, CEASED = ev.VoiceSuspected(), ev.VoiceConfirmed(), ev.VoiceCeased()
DUCK, PAUSE, RESUME = fx.DuckPlayback(), fx.PausePlayback(), fx.ResumePlayback()
POLICY = Policy()


def ducked() -> Story:
    return speaking(BargeIn.VOICE).tell(SUSPECTED)


def paused() -> Story:
    return ducked().tell(CONFIRMED)


def first(story: Story) -> fx.Effect:
    return story.effects[0]


def over(story: Story) -> Story:
    return story.tell(ev.YieldingOver(story.context.yieldings))


def test_a_suspected_voice_ducks_the_reply_until_it_ceases():
    story = ducked()
    assert story.effects == (DUCK, fx.StartTimer(ev.YieldingOver(1), POLICY.duck_s))
    assert story.tell(SUSPECTED).did(fx.Ignored)
    assert story.tell(CEASED).effects == (RESUME,)
    assert story.context.yielding is Yielding.NONE
    assert story.tell(CEASED).did(fx.Ignored)


def test_a_duck_has_an_end_although_the_voice_has_none():
    assert over(ducked()).effects == (RESUME,)


def test_a_confirmed_voice_pauses_the_reply_until_the_service_reports_the_interruption():
    story = paused()
    assert story.effects == (PAUSE, fx.StartTimer(ev.YieldingOver(2), POLICY.pause_s))
    assert story.tell(CEASED).did(fx.Ignored), "the report is still on its way"
    assert story.tell(ev.ServerInterrupted(1)).at(State.INTERRUPTED)
    assert first(story) == fx.FlushPlayback()
    assert not story.did(fx.ResumePlayback)
    assert story.context.yielding is Yielding.NONE


def test_speech_that_the_service_hears_ends_a_paused_reply_although_its_own_turn_is_over():
    story = paused().tell(ev.ReplyEnded(1, 7), ev.UserSpeech(1))
    assert story.at(State.INTERRUPTED)
    assert first(story) == fx.FlushPlayback()
    assert story.did(fx.DiscardReply)
    assert story.context.listening is Listening.SPEECH
    assert ducked().tell(ev.UserSpeech(1)).did(fx.Ignored)
    assert ducked().tell(ev.ReplyEnded(1, 7), ev.UserSpeech(1)).at(State.INTERRUPTED)
    assert speaking(BargeIn.VOICE).tell(ev.ReplyEnded(1, 7), ev.UserSpeech(1)).did(fx.Ignored)


def test_who_speaks_over_the_end_of_an_answer_is_the_one_who_asks_for_the_next():
    for make, unverified in ((speaking, True), (ducked, True), (paused, False)):
        story = make().tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
        assert story.context.asker_unverified is unverified


def test_a_pause_that_was_no_interruption_ends_and_after_two_the_reply_is_only_ducked():
    story = speaking(BargeIn.VOICE)
    for _ in range(POLICY.false_pauses):
        assert first(story.tell(SUSPECTED, CONFIRMED)) == PAUSE
        assert over(story.tell(CEASED)).effects == (RESUME,)
    assert first(story.tell(SUSPECTED)) == DUCK
    assert story.tell(CONFIRMED).did(fx.Ignored)
    assert over(story).effects == (RESUME,)
    assert first(story.tell(CONFIRMED)) == DUCK
    story.tell(ev.ServerInterrupted(1)).deadline().tell(ev.UserSilent(1), ev.ReplyStarted(1, 8))
    assert first(story.tell(SUSPECTED, CONFIRMED)) == PAUSE, "another reply"


def test_a_second_reply_that_follows_in_the_same_turn_has_its_own_false_pauses():
    story = paused()
    for _ in range(2):
        over(story)
    assert story.context.false_pauses == 1
    assert story.tell(ev.ReplyStarted(1, 8)).context.false_pauses == 0


def test_a_pause_is_prolonged_once_while_the_person_still_speaks():
    story = over(paused())
    assert story.effects == (fx.StartTimer(ev.YieldingOver(3), POLICY.pause_s),)
    assert story.context.yielding is Yielding.PAUSED
    assert over(story).effects == (RESUME,)
    assert story.context.false_pauses == 1
    story = over(paused().tell(CEASED, SUSPECTED))
    assert story.context.yielding is Yielding.PAUSED, "the person goes on after a breath"


def test_a_duck_is_no_false_pause_and_its_time_limit_does_not_end_the_pause_after_it():
    story = over(ducked())
    assert story.context.false_pauses == 0
    story = paused()
    assert story.tell(ev.YieldingOver(1)).did(fx.Ignored)
    assert story.context.yielding is Yielding.PAUSED


@pytest.mark.parametrize("make", [ducked, paused])
@pytest.mark.parametrize("event", [ev.WakeDetected(5), ev.ButtonPressed(5), ev.ServerInterrupted(1)])
def test_whoever_interrupts_silences_a_reply_that_yields_at_once(make, event):
    story = make().tell(event)
    assert story.at(State.INTERRUPTED)
    assert first(story) == fx.FlushPlayback()
    assert not story.did(fx.ResumePlayback)


@pytest.mark.parametrize("make", [ducked, paused])
@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([ev.ReplyEnded(1, 7), ev.PlaybackDrained(7)], State.LISTENING),
        ([ev.EndRequested()], State.FAREWELL),
        ([ev.ReplyEnded(1, 7), ev.LinkLost(1, resumable=True, trouble=ev.Trouble.LOST)], State.FAREWELL),
        ([ev.EchoReported(cancelled=False)], State.SPEAKING),
    ],
)
def test_whatever_ends_the_yielding_lets_the_rest_be_heard(make, events, state):
    story = make().tell(*events)
    assert story.at(state)
    assert first(story) == RESUME
    assert story.context.yielding is Yielding.NONE


@pytest.mark.parametrize("make", [ducked, paused])
@pytest.mark.parametrize(
    "event", [ev.LinkLost(1, resumable=True, trouble=ev.Trouble.LOST), ev.PlaybackStalled(7), ev.StopRequested()]
)
def test_a_reply_that_is_lost_does_not_come_back(make, event):
    story = make().tell(event)
    assert first(story) == fx.FlushPlayback()
    assert not story.did(fx.ResumePlayback)
    assert story.context.yielding is Yielding.NONE


def test_a_reply_is_heard_over_only_while_its_echo_is_cancelled():
    story = speaking(BargeIn.VOICE).tell(ev.EchoReported(cancelled=False))
    assert gate(story.context) is CLOSED
    assert story.tell(SUSPECTED).did(fx.Ignored)
    assert story.tell(CONFIRMED).did(fx.Ignored)
    assert gate(story.tell(ev.EchoReported(cancelled=True)).context) is OPEN
    assert first(story.tell(SUSPECTED)) == DUCK


def test_a_reply_yields_to_a_voice_only_where_speech_may_interrupt_it():
    for barge_in in (BargeIn.WAKE_WORD, BargeIn.BUTTON):
        assert speaking(barge_in).tell(SUSPECTED).did(fx.Ignored)
        assert beginning(barge_in).tell(CONFIRMED).did(fx.Ignored)
    story = held().tell(ev.ButtonReleased(ev.Press.HOLD, 900), ev.ReplyStarted(1, 1), SUSPECTED)
    assert story.context.mode is Mode.PUSH_TO_TALK
    assert story.did(fx.Ignored)
