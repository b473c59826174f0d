"""Interruptions: silence first, and a microphone that is open only to the person."""

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.state import BargeIn, Listening, Mode, Overlap, Policy, State, Talk, deadline_s, gate, wake_armed
from tests.core.story import CLOSED, OPEN, beginning, held, listening, speaking


def test_silence_is_the_first_effect_of_every_interruption():
    for event in (ev.ServerInterrupted(1), ev.WakeDetected(5), ev.ButtonPressed(5)):
        story = speaking().tell(event)
        assert story.at(State.INTERRUPTED)
        assert story.effects[0] == fx.FlushPlayback()
    for end in (ev.StopRequested(), ev.FaultRaised(ev.Fault.SPEAKER), ev.PlaybackStalled(7)):
        assert speaking().tell(end).effects[0] == fx.FlushPlayback()


def test_only_an_interruption_of_our_own_discards_the_rest_of_the_turn():
    assert not speaking().tell(ev.ServerInterrupted(1)).did(fx.DiscardReply)
    assert speaking().tell(ev.WakeDetected(5)).did(fx.DiscardReply)
    assert speaking().tell(ev.ButtonPressed(5)).did(fx.DiscardReply)


def test_the_setting_decides_what_may_interrupt():
    assert gate(speaking(BargeIn.VOICE).context) is OPEN
    assert wake_armed(speaking(BargeIn.VOICE).context)
    assert gate(speaking(BargeIn.WAKE_WORD).context) is CLOSED
    assert wake_armed(speaking(BargeIn.WAKE_WORD).context)
    assert gate(speaking(BargeIn.BUTTON).context) is CLOSED
    assert not wake_armed(speaking(BargeIn.BUTTON).context)
    story = speaking(BargeIn.BUTTON).tell(ev.WakeDetected(5))
    assert story.at(State.SPEAKING)


def test_until_a_reply_is_heard_and_while_the_person_speaks_on_the_microphone_stays_open():
    for barge_in in BargeIn:
        story = beginning(barge_in)
        assert gate(story.context) is OPEN, "what is heard now is no echo"
        assert gate(story.tell(ev.ReplyAudible(7, over_speech=True)).context) is OPEN
        assert gate(story.tell(ev.OverlapEnded()).context) is (OPEN if barge_in is BargeIn.VOICE else CLOSED)


def test_only_the_first_reply_of_a_turn_can_begin_over_speech():
    story = speaking().tell(ev.ReplyStarted(1, 8), ev.ReplyAudible(8, over_speech=True))
    assert gate(story.context) is CLOSED, "it may be the echo of the reply before"


def test_speech_over_the_beginning_is_forgotten_with_the_reply():
    for event in (ev.ServerInterrupted(1), ev.LinkLost(1, resumable=True, trouble=ev.Trouble.LOST)):
        story = beginning().tell(ev.ReplyAudible(7, over_speech=True), event)
        assert story.context.overlap is Overlap.NONE


def test_in_push_to_talk_the_button_alone_opens_the_microphone():
    story = held().tell(ev.ButtonReleased(ev.Press.HOLD, 900), ev.ReplyStarted(1, 1))
    assert gate(story.context) is CLOSED
    assert gate(story.tell(ev.ReplyAudible(1, over_speech=True)).context) is CLOSED


def test_interrupted_is_for_the_eye_only_and_listens_all_the_while():
    story = speaking().tell(ev.ServerInterrupted(1))
    assert gate(story.context) is OPEN
    limit = deadline_s(story.context)
    assert limit is not None
    assert 0.2 <= limit <= 0.4
    assert story.deadline().at(State.LISTENING)


def test_an_interruption_by_nobody_is_waited_out_like_silence_after_an_answer():
    story = speaking().tell(ev.ServerInterrupted(1)).deadline()
    assert deadline_s(story.context) == Policy().follow_up_s
    spoken = speaking().tell(ev.ServerInterrupted(1), ev.UserSpeech(1)).deadline()
    assert deadline_s(spoken.context) == Policy().speech_s


def test_a_reply_that_starts_while_the_button_is_held_is_dropped():
    story = held().tell(ev.ReplyStarted(1, 3))
    assert story.at(State.LISTENING)
    assert story.effects == (fx.DiscardReply(),)


def test_hands_free_a_held_button_does_not_keep_the_answer_to_what_was_said_meanwhile():
    story = listening().tell(ev.ButtonPressed(5))
    assert story.tell(ev.UserSilent(1)).at(State.LISTENING), "that was said before the press"
    assert story.tell(ev.ReplyStarted(1, 1)).effects == (fx.DiscardReply(),)
    assert story.tell(ev.UserSpeech(1), ev.ReplyStarted(1, 2)).at(State.SPEAKING)
    assert story.context.talk is Talk.NONE
    told = listening().tell(ev.ButtonPressed(5), ev.UserSpeech(1), ev.UserSilent(1))
    assert told.at(State.THINKING)
    assert told.tell(ev.ButtonReleased(ev.Press.HOLD, 9)).at(State.THINKING)
    assert told.tell(ev.ButtonReleased(ev.Press.TAP, 9)).at(State.IDLE), "a tap always ends a conversation"


def test_what_is_on_its_way_to_playback_is_dropped_when_a_reply_is_silenced():
    for event in (
        ev.StopRequested(),
        ev.PlaybackStalled(7),
        ev.LinkLost(1, resumable=True, trouble=ev.Trouble.NETWORK),
    ):
        assert speaking().tell(event).effects[:2] == (fx.FlushPlayback(), fx.DiscardReply())


def test_the_wake_word_counts_wherever_the_person_does_not_have_the_word():
    assert not wake_armed(listening().context), "it has just been said"
    thinking = listening().tell(ev.UserSilent(1))
    assert wake_armed(thinking.context)
    assert thinking.tell(ev.WakeDetected(500)).at(State.LISTENING)
    assert {fx.DiscardReply(), fx.BeginSpeech(500, Mode.HANDS_FREE)} <= set(thinking.effects)
    follow_up = speaking().tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
    assert wake_armed(follow_up.context)
    assert follow_up.tell(ev.WakeDetected(500)).context.listening is Listening.FIRST
    talk = speaking().tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7), ev.UserSpeech(1), ev.WakeDetected(500))
    assert talk.context.listening is Listening.SPEECH, "who talks on is not cut short"


def test_an_answer_is_not_cut_off_by_its_own_echo_again_and_again():
    story = speaking(BargeIn.VOICE)
    for number in range(8, 8 + Policy().trusted_interruptions):
        assert gate(story.context) is OPEN
        story.tell(ev.ServerInterrupted(1)).deadline().tell(ev.UserSilent(1), ev.ReplyStarted(1, number))
        story.tell(ev.ReplyAudible(number, over_speech=False))
    assert gate(story.context) is CLOSED
    assert wake_armed(story.context)
    story.tell(ev.ReplyEnded(1, number), ev.PlaybackDrained(number), ev.UserSilent(1), ev.ReplyStarted(1, 99))
    assert gate(story.context) is OPEN, "an answer was heard whole"
