"""What a swap would break, what is new and what is a repetition, and a service that gives no sign of having heard."""

import pytest

from appliance.core.state import Mode
from appliance.live.connecting.rotation import MAX_AGE_S, Busy, Swap
from appliance.live.messages import (
    GoAway,
    HandleUpdated,
    HeardText,
    Interaction,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechStarted,
    StatusReported,
    Thinking,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
)
from appliance.live.ports import Traffic
from appliance.live.session.activity import LATE_S, SessionActivity
from appliance.live.session.diagnosis import Action, Diagnosis, Symptom
from appliance.units import Dbfs, Seconds
from tests.live.session.test_watchdogs import LOUD, MUTE

CALL = ToolCall("1", "get_time", {})
NO_REPLY = Diagnosis(Symptom.NO_REPLY, Action.RETRY_UTTERANCE)


class Story:
    def __init__(self) -> None:
        self.vigil = SessionActivity()
        self.now = 100.0
        self.vigil.link_opened(self.at)

    @property
    def at(self) -> Seconds:
        return Seconds(self.now)

    def hear(self, *messages: LinkMessage) -> "Story":
        for message in messages:
            self.vigil.feed(message, self.at)
        return self

    def ask(self) -> "Story":
        self.vigil.person_begins(self.at)
        self.vigil.person_stops(self.at)
        return self

    def wait(self, seconds: float, traffic: Traffic | None = None) -> Diagnosis | None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.25
            finding = self.vigil.check(traffic, self.at)
            if finding is not None:
                return finding
        return None

    def room(self, level: float, seconds: float) -> "Story":
        for _ in range(round(seconds / 0.02)):
            self.vigil.heard_here(Dbfs(level), Seconds(0.02))
        return self

    def speak(self, seconds: float, then_s: float) -> "Story":
        return self.room(-70, 0.2).room(-30, seconds).room(-70, then_s)


@pytest.mark.parametrize(
    ("messages", "busy"),
    [
        ((), set()),
        ((ReplyAudio(LOUD.pcm),), {Busy.MODEL}),
        ((LOUD, TurnComplete()), set()),
        ((LOUD, Interrupted()), set()),
        ((Thinking(),), {Busy.MODEL}),
        ((StatusReported(Interaction.IN_PROGRESS), TurnComplete()), {Busy.MODEL}),
        ((StatusReported(Interaction.IN_PROGRESS), StatusReported(Interaction.IDLE)), set()),
        ((HandleUpdated("h"),), set()),
        ((HandleUpdated(None),), {Busy.SESSION}),
        ((HandleUpdated(None), HandleUpdated("h")), set()),
        ((CALL,), {Busy.TOOL}),
        ((CALL, ToolCallsCancelled(("1",))), set()),
    ],
)
def test_what_the_service_does_decides_what_a_swap_would_break(messages, busy):
    assert Story().hear(*messages).vigil.busy == busy


def test_a_person_who_speaks_or_waits_is_not_cut_off_by_a_swap():
    story = Story()
    story.vigil.person_begins(story.at)
    assert story.vigil.busy == {Busy.PERSON}
    story.vigil.person_stops(story.at)
    assert story.vigil.busy == {Busy.MODEL}
    assert story.hear(LOUD, TurnComplete()).vigil.busy == set()


def test_a_tool_is_over_when_its_result_is_sent_or_its_session_is_lost():
    story = Story().hear(CALL)
    story.vigil.tool_done("1", story.at)
    assert not story.vigil.busy
    story.hear(CALL).vigil.tools_gone()
    assert not story.vigil.busy


def test_a_notice_waits_for_silence_and_then_for_nothing():
    story = Story().hear(LOUD, GoAway(Seconds(50.0)))
    assert story.vigil.swap(story.at).swap is Swap.LATER
    story.now += 46
    assert story.vigil.swap(story.at).swap is Swap.FORCED
    story = Story().hear(LOUD, GoAway(Seconds(50.0)), TurnComplete())
    assert story.vigil.swap(story.at).swap is Swap.NOW
    story.vigil.link_opened(story.at)
    assert story.vigil.swap(story.at).swap is Swap.LATER, "that was another link"


def test_an_old_link_is_swapped():
    story = Story()
    story.now += MAX_AGE_S
    assert story.vigil.swap(story.at).swap is Swap.NOW


def test_what_can_wait_for_silence_is_noted_and_what_cannot_is_told():
    story = Story().hear(LOUD, Interrupted(), TurnComplete(), TurnComplete(), TurnComplete())
    assert story.vigil.swap(story.at).swap is Swap.NOW, "a phantom interruption"
    assert Story().wait(3, Traffic(500, 500)) == Diagnosis(Symptom.STALLED_UPLINK, Action.ROTATE)
    assert Story().wait(30, Traffic(500, 0)) is None
    assert Story().ask().wait(8) == NO_REPLY


def test_an_utterance_that_is_repeated_has_no_second_retry_however_the_service_hears_it():
    story = Story().ask()
    assert story.wait(8) == NO_REPLY
    story.vigil.link_opened(story.at)
    story.vigil.repeated(story.at)
    story.hear(SpeechStarted()).ask()
    assert story.wait(8) == Diagnosis(Symptom.NO_REPLY, Action.APOLOGISE)


def test_the_turn_after_an_answer_has_a_retry_of_its_own():
    story = Story().ask()
    story.wait(8)
    story.vigil.repeated(story.at)
    story.hear(LOUD, TurnComplete()).ask()
    assert story.wait(8) == NO_REPLY


def test_a_mute_reply_does_not_end_a_repetition():
    story = Story().ask()
    story.wait(8)
    story.vigil.repeated(story.at)
    story.hear(MUTE)
    assert not story.vigil.audible
    story.ask()
    assert story.wait(8) == Diagnosis(Symptom.NO_REPLY, Action.APOLOGISE)


def test_first_words_of_which_the_service_gives_no_sign_are_noticed_here():
    story = Story().room(-65, 1.0).room(-30, 1.0)
    assert story.vigil.unnoticed_s(Mode.HANDS_FREE) is None, "the person speaks still"
    story.room(-65, 1.3)
    assert story.vigil.unnoticed_s(Mode.HANDS_FREE) == 0
    assert story.vigil.unnoticed_s(Mode.PUSH_TO_TALK) is None, "the button tells"
    story.vigil.person_stops(story.at)
    assert story.vigil.unnoticed_s(Mode.HANDS_FREE) is None, "once"


@pytest.mark.parametrize("sign", [SpeechStarted(), CALL])
def test_a_service_that_has_heard_is_left_to_judge(sign):
    story = Story().hear(sign).room(-65, 1.0).room(-30, 1.0).room(-65, 2.0)
    assert story.vigil.unnoticed_s(Mode.HANDS_FREE) is None


@pytest.mark.parametrize(("sign", "wait_s"), [(HeardText("hello"), 1.2), (SpeechStarted(), 4.0)])
def test_a_service_that_has_heard_and_does_not_tell_of_the_end_is_not_waited_for(sign: LinkMessage, wait_s: float):
    story = Story().room(-65, 1.0).hear(sign)
    story.vigil.person_begins(story.at)
    story.room(-30, 1.0).room(-65, wait_s - 0.1)
    assert story.vigil.unnoticed_s(Mode.HANDS_FREE) is None, "it may still tell"
    assert story.room(-65, 0.2).vigil.unnoticed_s(Mode.HANDS_FREE) == pytest.approx(wait_s + 0.1)


def test_what_is_transcribed_after_the_end_was_said_before_it():
    story = Story().room(-65, 1.0).room(-30, 1.0).room(-65, 1.3)
    assert not story.vigil.is_replay(HeardText("hello"), story.at)
    story.vigil.person_stops(story.at)
    assert story.vigil.is_replay(HeardText("hello"), story.at)
    assert not story.vigil.is_replay(SpeechStarted(), story.at)
    story.vigil.repeated(story.at)
    assert story.vigil.is_replay(SpeechStarted(), story.at)


def test_the_transcript_of_what_was_answered_is_old_unless_somebody_speaks_again():
    story = Story().ask().hear(LOUD, TurnComplete())
    assert story.vigil.is_replay(HeardText("hello"), story.at)
    story.now += LATE_S
    assert not story.vigil.is_replay(HeardText("hello"), story.at), "it is of something new"
    story.hear(LOUD, Interrupted()).room(-65, 1.0).room(-30, 0.1)
    assert not story.vigil.is_replay(HeardText("hello"), story.at), "somebody speaks"


def test_a_service_that_never_tells_is_told_here_of_every_question_and_not_only_of_the_first():
    story = Story().room(-65, 1.0).hear(LOUD, TurnComplete()).room(-30, 0.5)
    assert story.vigil.speaks_unnoticed(Mode.HANDS_FREE)
    story.vigil.begins_here(story.at)
    assert not story.vigil.speaks_unnoticed(Mode.HANDS_FREE), "once"
    assert story.vigil.busy == {Busy.PERSON}
    assert story.room(-65, 1.3).vigil.unnoticed_s(Mode.HANDS_FREE) == pytest.approx(1.3)
    story.vigil.person_stops(story.at)
    assert story.room(-30, 0.5).vigil.speaks_unnoticed(Mode.HANDS_FREE), "they go on"


def test_what_only_the_microphone_has_heard_after_an_answer_is_doubtful():
    story = Story()
    assert not story.vigil.doubtful, "after the wake word, words are meant"
    assert story.hear(LOUD, TurnComplete()).vigil.doubtful
    assert not story.hear(HeardText("hello")).vigil.doubtful


def test_a_turn_without_audio_answers_all_that_was_said():
    story = Story().room(-65, 1.0).room(-30, 1.0).room(-65, 0.7).hear(TurnComplete()).room(-65, 1.0)
    assert story.vigil.unnoticed_s(Mode.HANDS_FREE) is None


def test_a_short_word_that_the_service_alone_has_heard_has_an_end():
    story = Story().room(-65, 1.0).room(-30, 0.2).hear(HeardText("yes"))
    story.vigil.person_begins(story.at)
    assert story.room(-65, 3.9).vigil.unnoticed_s(Mode.HANDS_FREE) is None
    assert story.room(-65, 0.2).vigil.unnoticed_s(Mode.HANDS_FREE) == pytest.approx(4.1)


def test_another_conversation_knows_nothing_of_the_last():
    story = Story().ask().hear(CALL).room(-65, 1.0).room(-30, 1.0).room(-65, 2.0)
    story.vigil.conversation()
    assert not story.vigil.busy
    assert not story.vigil.waiting
    assert story.vigil.unnoticed_s(Mode.HANDS_FREE) is None


def test_words_after_an_answer_of_which_a_service_that_tells_gives_no_sign_are_worth_sending_again_once():
    story = Story().ask().hear(SpeechStarted(), LOUD, TurnComplete())
    story.speak(0.6, then_s=1.0)
    assert not story.vigil.overlooked(Mode.HANDS_FREE), "they may go on"
    story.room(-70, 0.4)
    assert not story.vigil.overlooked(Mode.PUSH_TO_TALK)
    assert story.vigil.overlooked(Mode.HANDS_FREE)
    story.speak(0.6, then_s=2.0)
    assert not story.vigil.overlooked(Mode.HANDS_FREE), "it may not want to hear them"
    story.ask().hear(LOUD, TurnComplete()).speak(0.6, then_s=2.0)
    assert story.vigil.overlooked(Mode.HANDS_FREE)


def test_words_that_the_service_has_heard_or_never_tells_of_are_not_overlooked():
    for story in (
        Story().ask().hear(SpeechStarted(), LOUD, TurnComplete()).ask(),
        Story().ask().hear(LOUD, TurnComplete()),
        Story(),
    ):
        story.speak(0.6, then_s=2.0)
        assert not story.vigil.overlooked(Mode.HANDS_FREE)
