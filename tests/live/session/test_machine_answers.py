"""A service that does not do its work is found in time, once; one that is only slow or silent on purpose is not."""

import pytest

from appliance.core.state import Mode
from appliance.live.connecting.rotation import Busy
from appliance.live.messages import (
    GenerationComplete,
    Grounding,
    HeardText,
    Interaction,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechStarted,
    SpokenText,
    StatusReported,
    Thinking,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    TurnReason,
    UsageReported,
    WaitingForInput,
)
from appliance.live.session.facts import Action, AnswerDelay, Diagnosis, Symptom, ToolAnswered, TurnEnded, TurnTaken
from appliance.live.session.state import Limits, busy, waiting
from tests.live.session.story import LOUD, MUTE, Story

LIMITS = Limits()
RETRY, APOLOGISE = Action.RETRY_UTTERANCE, Action.APOLOGISE
CALL = ToolCall("1", "get_time", {})
WORKING, IDLE = StatusReported(Interaction.IN_PROGRESS), StatusReported(Interaction.IDLE)


def rotates(story: Story) -> bool:
    """Whether another connection is wanted."""
    assert not story.found
    return story.state.connection.rotate_since is not None


# No reply


def test_silence_after_the_persons_words_is_noticed_in_time():
    story = Story().ask().wait(LIMITS.reply_s - 0.01)
    assert not story.found
    story.wait(0.02)
    assert story.found == [Diagnosis(Symptom.NO_REPLY, RETRY)]
    assert LIMITS.reply_s <= 8.0
    assert not story.wait(100).found[1:]


def test_an_audible_answer_is_an_answer():
    assert not Story().ask().wait(5).hear(LOUD).wait(100).found


@pytest.mark.parametrize("sign", [Thinking(), Grounding(()), UsageReported(7), SpokenText("x"), HeardText("x")])
def test_every_sign_of_life_buys_time(sign):
    story = Story().ask().wait(5).hear(sign).wait(5)
    assert not story.found
    assert story.wait(5).found == [Diagnosis(Symptom.NO_REPLY, RETRY)]


def test_signs_of_life_do_not_buy_time_for_ever():
    story = Story().ask()
    for _ in range(20):
        story.wait(2).hear(Thinking())
    assert story.found == [Diagnosis(Symptom.STUCK, RETRY)]


def test_a_silence_that_the_model_chose_is_no_fault():
    assert not Story().ask().wait(1).hear(TurnComplete()).wait(100).found


def test_a_turn_that_is_one_of_several_is_not_the_answer():
    story = Story().ask().wait(5).hear(WORKING, TurnComplete()).wait(LIMITS.stuck_s - 0.01)
    assert not story.found
    assert story.wait(5).found == [Diagnosis(Symptom.STUCK, RETRY)]


def test_a_service_that_works_is_waited_for_longer_and_not_asked_again_once_it_has_said_something():
    story = Story().ask().wait(5).hear(WORKING, LOUD, TurnComplete()).wait(LIMITS.stuck_s - 0.01)
    assert not story.found
    assert story.hear(LOUD, TurnComplete()).wait(LIMITS.stuck_s - 0.01).hear(LOUD, IDLE, TurnComplete()).wait(100)
    assert not story.found
    assert Story().ask().hear(WORKING, LOUD, TurnComplete()).wait(100).found == [Diagnosis(Symptom.STUCK, APOLOGISE)]


def test_an_end_of_the_work_without_a_turn_ends_the_wait():
    assert not Story().ask().hear(WORKING, LOUD, TurnComplete(), IDLE).wait(100).found


def test_a_turn_that_has_failed_is_asked_for_again_once():
    failed = TurnComplete(TurnReason.FAILED)
    assert Story().ask().hear(failed).found == [Diagnosis(Symptom.FAILED_TURN, RETRY)]
    assert not Story().ask().hear(LOUD, failed).wait(100).found, "there was something to hear"
    assert not Story().hear(failed).found, "nobody waits"


@pytest.mark.parametrize("end", [WaitingForInput(), TurnComplete(TurnReason.REFUSED)])
def test_nothing_more_is_expected_of_a_model_that_waits_or_must_not_answer(end):
    assert not Story().ask().hear(end).wait(100).found


def test_an_idle_service_owes_nothing():
    assert not Story().ask().hear(WORKING, IDLE, TurnComplete()).wait(100).found


def test_nobody_waits_while_a_tool_runs():
    story = Story().ask().hear(CALL).wait(60)
    assert not story.found
    story.take(ToolAnswered("1"))
    story.wait(LIMITS.reply_s - 0.01)
    assert not story.found
    assert story.wait(0.02).found == [Diagnosis(Symptom.NO_REPLY, APOLOGISE)], "what a tool did is not done twice"


def test_a_cancelled_tool_is_over():
    assert Story().ask().hear(CALL, ToolCallsCancelled(("1",))).wait(8).found == [
        Diagnosis(Symptom.NO_REPLY, APOLOGISE)
    ]


def test_one_turn_is_retried_once_then_there_is_an_apology():
    story = Story().ask().wait(8)
    story.reconnect()
    story.take(TurnEnded())
    story.wait(8)
    assert story.found == [Diagnosis(Symptom.NO_REPLY, RETRY), Diagnosis(Symptom.NO_REPLY, APOLOGISE)]
    assert story.ask().wait(8).found[2:] == [Diagnosis(Symptom.NO_REPLY, RETRY)], "the next turn has a retry of its own"


def test_words_that_come_late_do_not_end_a_tool():
    story = Story().ask().hear(CALL)
    story.take(TurnEnded())
    story.wait(60)
    assert not story.found


def test_a_tool_runs_on_over_a_resumed_connection():
    story = Story().ask().hear(CALL)
    story.reconnect()
    assert not story.wait(60).found
    assert waiting(story.state)


def test_who_waits_waits_anew_on_another_connection():
    story = Story().ask().wait(6)
    story.reconnect()
    assert not story.wait(6).found


def test_a_tool_ends_with_its_session_and_is_not_asked_for_again():
    story = Story().ask().hear(CALL)
    story.reconnect(continued=False)
    assert story.wait(60).found == [Diagnosis(Symptom.NO_REPLY, APOLOGISE)]


def test_a_person_who_speaks_again_waits_no_more():
    story = Story().ask().wait(6)
    story.take(TurnTaken(Mode.HANDS_FREE))
    assert not story.wait(100).found


def test_an_answer_after_an_interruption_is_recognised_without_an_end_of_the_first():
    story = Story().ask().hear(LOUD, Interrupted()).ask().hear(LOUD)
    assert not story.wait(100).found


# Mute replies


def test_long_audio_without_a_sound_is_a_mute_reply():
    story = Story().ask().hear(*[MUTE] * 19)
    assert not story.found
    assert story.hear(MUTE, MUTE).found == [Diagnosis(Symptom.MUTE_REPLY, RETRY)]


@pytest.mark.parametrize("end", [GenerationComplete(), TurnComplete()])
def test_a_short_reply_without_a_sound_is_mute_when_it_ends(end):
    assert Story().ask().hear(MUTE, end).found == [Diagnosis(Symptom.MUTE_REPLY, RETRY)]


def test_a_reply_that_begins_softly_is_none():
    assert not Story().ask().hear(*[MUTE] * 10, LOUD, *[MUTE] * 100, GenerationComplete(), TurnComplete()).found


def test_mute_audio_that_nobody_waits_for_is_nobodys_business():
    assert not Story().hear(*[MUTE] * 30, TurnComplete()).found


@pytest.mark.parametrize("pcm", [b"", b"\0\0" * 100])
def test_digital_silence_and_nothing_at_all_are_mute(pcm):
    story = Story().ask().hear(ReplyAudio(pcm)).wait(8)
    assert story.found == [Diagnosis(Symptom.NO_REPLY, RETRY)]


def test_mute_audio_does_not_count_as_an_answer():
    assert Story().ask().hear(MUTE).wait(8).found == [Diagnosis(Symptom.NO_REPLY, RETRY)]


# Stuck


def test_a_service_that_works_on_after_its_answer_is_stuck_at_last():
    story = Story().ask().hear(WORKING, LOUD).wait(LIMITS.stuck_s - 0.01)
    assert not rotates(story)
    assert rotates(story.wait(100))


def test_work_that_goes_on_is_not_stuck():
    story = Story().ask().hear(WORKING, LOUD)
    for _ in range(10):
        story.wait(20).hear(Thinking())
    assert not rotates(story.hear(IDLE, TurnComplete()).wait(1000))


# False interruptions


def false_interruption() -> Story:
    return Story().ask().hear(LOUD).wait(10).hear(Interrupted(), TurnComplete())


def test_after_an_interruption_by_nobody_and_then_silence_another_connection_is_wanted():
    story = false_interruption().hear(TurnComplete())
    assert not rotates(story)
    assert rotates(story.hear(TurnComplete()))


def test_an_interruption_after_which_the_service_speaks_again_was_none_of_these():
    assert not rotates(false_interruption().hear(TurnComplete(), LOUD, TurnComplete(), TurnComplete(), TurnComplete()))


def test_an_interruption_by_somebody_is_not_false():
    story = Story().ask().hear(LOUD).wait(10).hear(SpeechStarted()).wait(1)
    assert not rotates(story.hear(Interrupted(), TurnComplete(), TurnComplete(), TurnComplete()))


# Latency


def delays(story: Story, *messages: LinkMessage) -> list[float]:
    return [output.seconds for output in story.take(*messages) if isinstance(output, AnswerDelay)]


def test_an_answer_is_timed_from_the_end_of_speech_unless_a_tool_or_another_turn_has_a_share_in_it():
    assert delays(Story().ask().wait(2), LOUD, LOUD) == [2.0]
    assert delays(Story(), LOUD) == [], "nobody has asked"
    assert delays(Story().ask().hear(CALL).wait(3), LOUD) == []
    assert delays(Story().ask().hear(WORKING, TurnComplete()).wait(3), LOUD) == []


def test_a_service_that_is_stuck_does_not_hold_up_the_swap_that_it_needs():
    story = Story().ask().hear(WORKING, LOUD, GenerationComplete())
    assert busy(story.state) == {Busy.MODEL}
    assert not busy(story.wait(100).state)
