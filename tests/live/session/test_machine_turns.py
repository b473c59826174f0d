"""Whose turn it is: the person's, as the service or the microphone tells, and a request that takes several turns."""

import pytest

from appliance.core.events import InteractionReported, TurnRefused, Unanswered, UserSilent, UserSpeech
from appliance.core.state import Mode
from appliance.live.connecting.rotation import MAX_AGE_S, Busy, Swap
from appliance.live.messages import (
    GenerationComplete,
    GoAway,
    HandleUpdated,
    HeardText,
    Interaction,
    Interrupted,
    LinkMessage,
    ReplyAudio,
    SpeechEnded,
    SpeechStarted,
    StatusReported,
    Thinking,
    ToolCall,
    ToolCallsCancelled,
    TurnComplete,
    TurnReason,
)
from appliance.live.session.facts import (
    Action,
    AnswerEnded,
    AnswerStarted,
    ConnectionClosed,
    ConversationStarted,
    Diagnosis,
    ResendText,
    SpeechResent,
    Symptom,
    TextSent,
    Ticked,
    ToolAnswered,
    TurnEnded,
    TurnTaken,
    WordsMissed,
)
from appliance.live.session.state import busy, rotation_due, waiting
from appliance.live.session.transitions import LATE_S
from appliance.units import Seconds
from tests.live.session.story import LINK, LOUD, MUTE, Story

SAID = HeardText("hello")
CALL = ToolCall("1", "get_time", {})
WORKING, IDLE = (StatusReported(status) for status in (Interaction.IN_PROGRESS, Interaction.IDLE))
SPEECH, SILENT = UserSpeech(LINK), UserSilent(LINK)
NO_REPLY = Diagnosis(Symptom.NO_REPLY, Action.RETRY_UTTERANCE)
APOLOGY = Diagnosis(Symptom.NO_REPLY, Action.APOLOGISE)


def heard(story: Story, *messages: LinkMessage) -> list[object]:
    """Return what is reported of the person."""
    return [output for output in story.take(*messages) if isinstance(output, UserSpeech | UserSilent)]


def swap(story: Story) -> Swap:
    return rotation_due(story.state, Seconds(story.now)).swap


# The person, as the service tells


@pytest.mark.parametrize(
    ("messages", "reported"),
    [
        ((SpeechStarted(), SAID, SpeechStarted(), SAID), [SPEECH]),
        ((SAID, SAID), [SPEECH]),
        ((SpeechStarted(), SpeechEnded(), SAID, SpeechEnded()), [SPEECH, SILENT]),
        ((SpeechStarted(), SpeechEnded(), SpeechStarted()), [SPEECH, SILENT, SPEECH]),
        ((LOUD, SAID), []),
        ((LOUD, SpeechStarted(), Interrupted(), TurnComplete()), [SPEECH, SPEECH]),
    ],
    ids=["once", "transcript", "rest of it", "goes on", "of what is answered", "interrupts"],
)
def test_the_person_is_reported_to_begin_and_to_stop_once(messages, reported):
    assert heard(Story(), *messages) == reported


@pytest.mark.parametrize("news", [TurnComplete(), Interrupted()], ids=["turn over", "interrupted"])
def test_some_time_after_the_models_turn_a_transcript_counts_again(news):
    story = Story().hear(LOUD, news)
    assert heard(story, SAID) == []
    story.now += LATE_S
    assert heard(story, SAID) == [SPEECH]


def test_with_a_button_the_service_is_not_asked():
    assert heard(Story(Mode.PUSH_TO_TALK), SpeechStarted(), SAID, SpeechEnded()) == []


# A request that takes several turns


@pytest.mark.parametrize(
    ("messages", "reported"),
    [
        ((WORKING, TurnComplete()), [True]),
        ((WORKING, TurnComplete(), WORKING, TurnComplete()), [True]),
        ((WORKING, TurnComplete(), IDLE, TurnComplete()), [True, False]),
        ((WORKING, TurnComplete(), IDLE), [True, False]),
        ((WORKING, GenerationComplete(), TurnComplete(), TurnComplete()), [True, False]),
        ((TurnComplete(), IDLE, TurnComplete()), []),
    ],
)
def test_a_request_is_in_progress_until_the_service_says_idle_or_ends_a_turn_without_a_status(messages, reported):
    outputs = Story(several_turns=True).take(*messages)
    assert [output.in_progress for output in outputs if isinstance(output, InteractionReported)] == reported


# The answer


def answer(story: Story, *messages: LinkMessage) -> list[object]:
    return [output for output in story.take(*messages) if isinstance(output, AnswerStarted | AnswerEnded)]


def test_an_answer_begins_when_there_is_something_to_hear_and_ends_with_its_reply():
    story = Story().ask()
    assert answer(story, MUTE) == []
    assert answer(story, LOUD, LOUD) == [AnswerStarted()]
    assert answer(story, GenerationComplete(), TurnComplete()) == [AnswerEnded()]
    assert answer(story, TurnComplete()) == []
    assert answer(story, LOUD, Interrupted()) == [AnswerStarted(), AnswerEnded()]


def test_an_answer_of_several_turns_ends_once_the_service_is_done():
    story = Story(several_turns=True).ask()
    assert answer(story, WORKING, LOUD, GenerationComplete(), TurnComplete()) == [AnswerStarted()]
    assert answer(story, LOUD, IDLE, TurnComplete()) == [AnswerStarted(), AnswerEnded()]


def test_what_a_tool_has_acted_upon_is_answered_once_the_person_says_more():
    story = Story().ask()
    assert answer(story, CALL, TurnComplete()) == [AnswerStarted()]
    assert answer(story, SpeechStarted()) == [AnswerEnded()]


def test_a_call_that_comes_twice_is_run_once():
    story = Story()
    assert story.take(CALL).count(CALL) == 1
    assert story.take(CALL).count(CALL) == 0
    assert story.reconnect().take(CALL).count(CALL) == 1, "another connection numbers its calls anew"


def test_a_refused_turn_is_reported():
    assert TurnRefused(LINK) in Story().ask().take(TurnComplete(TurnReason.REFUSED))


def test_a_text_is_sent_again_over_another_connection_only_and_until_it_has_an_answer():
    story = Story()
    story.take(TextSent("hello"))
    again = SpeechResent(Seconds(story.now))
    assert story.take(again) == []
    story.take(ConnectionClosed())
    assert story.reconnect().take(again, again) == [ResendText("hello")]
    story.hear(LOUD, TurnComplete()).take(ConnectionClosed())
    assert story.reconnect().take(again) == []


def test_stalls_are_counted_until_there_is_an_answer():
    story = Story().ask()
    assert Diagnosis(Symptom.STALLED_UPLINK, Action.ROTATE) in story.take(Ticked(stalled=True))
    story.reconnect().take(Ticked(stalled=True))
    assert story.state.stalls == 2
    assert story.hear(LOUD, TurnComplete()).state.stalls == 0


# What a swap would break


@pytest.mark.parametrize(
    ("messages", "activity"),
    [
        ((), set()),
        ((ReplyAudio(LOUD.pcm),), {Busy.MODEL}),
        ((LOUD, TurnComplete()), set()),
        ((LOUD, Interrupted()), set()),
        ((Thinking(),), {Busy.MODEL}),
        ((WORKING, TurnComplete()), {Busy.MODEL}),
        ((WORKING, IDLE), set()),
        ((HandleUpdated("h"),), set()),
        ((HandleUpdated(None),), {Busy.SESSION}),
        ((HandleUpdated(None), HandleUpdated("h")), set()),
        ((CALL,), {Busy.TOOL}),
        ((CALL, ToolCallsCancelled(("1",))), set()),
    ],
)
def test_what_the_service_does_decides_what_a_swap_would_break(messages, activity):
    assert busy(Story().hear(*messages).state) == activity


def test_a_person_who_speaks_or_waits_is_not_cut_off_by_a_swap():
    story = Story()
    story.take(TurnTaken(Mode.PUSH_TO_TALK))
    assert busy(story.state) == {Busy.PERSON}
    story.take(TurnEnded())
    assert busy(story.state) == {Busy.MODEL}
    assert busy(story.hear(LOUD, TurnComplete()).state) == set()


def test_a_tool_is_over_when_its_result_is_sent_or_its_session_is_lost():
    story = Story().hear(CALL)
    story.take(ToolAnswered("1"))
    assert not busy(story.state)
    story.reconnect().hear(CALL)
    assert busy(story.reconnect().state)
    assert not busy(story.reconnect(continued=False).state)


def test_a_notice_waits_for_silence_and_then_for_nothing():
    story = Story().hear(LOUD, GoAway(Seconds(50.0)))
    assert swap(story) is Swap.LATER
    story.now += 46
    assert swap(story) is Swap.FORCED
    story = Story().hear(LOUD, GoAway(Seconds(50.0)), TurnComplete())
    assert swap(story) is Swap.NOW
    assert swap(story.reconnect()) is Swap.LATER, "that was another link"


def test_an_old_link_is_swapped():
    story = Story()
    story.now += MAX_AGE_S
    assert swap(story) is Swap.NOW


# What is said again


def test_an_utterance_that_is_repeated_has_no_second_retry_however_the_service_hears_it():
    story = Story().ask().wait(8)
    assert story.found == [NO_REPLY]
    story.reconnect().take(SpeechResent(Seconds(story.now)), SpeechStarted())
    assert story.ask().wait(8).found[1:] == [APOLOGY]


def test_the_turn_after_an_answer_has_a_retry_of_its_own():
    story = Story().ask().wait(8)
    story.take(SpeechResent(Seconds(story.now)))
    assert story.hear(LOUD, TurnComplete()).ask().wait(8).found[1:] == [NO_REPLY]


def test_a_mute_reply_does_not_end_a_repetition():
    story = Story().ask().wait(8)
    story.take(SpeechResent(Seconds(story.now)))
    assert not story.hear(MUTE).state.connection.audible
    assert story.ask().wait(8).found[1:] == [APOLOGY]


def test_what_is_transcribed_after_the_end_was_said_before_it():
    story = Story().voice(0.1, 1.0).voice(0.9, 1.0).voice(0.1, 1.3)
    story.take(TurnEnded())
    assert heard(story, SAID) == []
    assert heard(story, SpeechStarted()) == [SPEECH]
    story.take(SpeechResent(Seconds(story.now)), TurnComplete(), SpeechResent(Seconds(story.now)))
    assert heard(story, SpeechStarted()) == []


def test_the_transcript_of_what_was_answered_is_old_unless_somebody_speaks_again():
    story = Story().ask().hear(LOUD, TurnComplete())
    assert heard(story, SAID) == []
    story.hear(LOUD, Interrupted()).voice(0.1, 1.0).voice(0.9, 0.1)
    assert heard(story, SAID) == [SPEECH], "somebody speaks"


# What the microphone alone has heard


def test_first_words_of_which_the_service_gives_no_sign_are_noticed_here():
    story = Story().voice(0.1, 1.0).voice(0.9, 1.0)
    assert story.take(Ticked()) == [SPEECH]
    story = Story().voice(0.1, 1.0).voice(0.9, 1.0).voice(0.1, 1.3)
    assert story.take(Ticked()) == [SILENT]
    assert story.state.waiting_since == story.now, "first words may be sent only now"
    assert story.take(Ticked()) == [], "once"
    assert Story(Mode.PUSH_TO_TALK).speak(1.0, then_s=1.3).take(Ticked()) == [], "the button tells"


@pytest.mark.parametrize("sign", [SpeechStarted(), CALL])
def test_a_service_that_has_heard_is_left_to_judge(sign):
    story = Story().hear(sign)
    assert story.voice(0.1, 1.0).voice(0.9, 1.0).voice(0.1, 2.0).take(Ticked()) == []


@pytest.mark.parametrize(("sign", "wait_s"), [(SAID, 1.2), (SpeechStarted(), 4.0)])
def test_a_service_that_has_heard_and_does_not_tell_of_the_end_is_not_waited_for(sign: LinkMessage, wait_s: float):
    story = Story().voice(0.1, 1.0).hear(sign)
    story.voice(0.9, 1.0).voice(0.1, wait_s - 0.1)
    assert story.take(Ticked()) == [], "it may still tell"
    assert story.voice(0.1, 0.2).take(Ticked()) == [SILENT]
    assert story.state.waiting_since == pytest.approx(story.now - wait_s - 0.1)
    assert heard(story.voice(0.9, 0.1), HeardText("and more")) == [SPEECH], "who goes on is heard again"


def test_a_service_that_never_tells_is_told_here_of_every_question_and_not_only_of_the_first():
    story = Story().voice(0.1, 1.0).hear(LOUD, TurnComplete()).voice(0.9, 0.5)
    assert story.take(Ticked()) == [SPEECH]
    assert story.take(Ticked()) == [], "once"
    assert busy(story.state) == {Busy.PERSON}
    assert story.voice(0.1, 1.3).take(Ticked()) == [SILENT]
    assert story.state.waiting_since == pytest.approx(story.now - 1.3)
    assert story.voice(0.9, 0.5).take(Ticked()) == [SPEECH], "they go on"


def test_what_only_the_microphone_has_heard_after_an_answer_is_doubtful():
    def unanswered(story: Story) -> list[bool]:
        story.now += 8
        return [output.heard for output in story.take(Ticked()) if isinstance(output, Unanswered)]

    assert unanswered(Story().ask()) == [True], "after the wake word, words are meant"
    assert unanswered(Story().hear(LOUD, TurnComplete()).ask()) == [False]
    assert unanswered(Story().hear(LOUD, TurnComplete()).ask().hear(SAID)) == [True]


def test_a_turn_without_audio_answers_all_that_was_said():
    story = Story().voice(0.1, 1.0).voice(0.9, 1.0).voice(0.1, 0.7).hear(TurnComplete()).voice(0.1, 1.0)
    assert story.take(Ticked()) == []


def test_a_short_word_that_the_service_alone_has_heard_has_an_end():
    story = Story().voice(0.1, 1.0).voice(0.9, 0.2).hear(HeardText("yes"))
    assert story.voice(0.1, 3.9).take(Ticked()) == []
    assert story.voice(0.1, 0.2).take(Ticked()) == [SILENT]
    assert story.state.waiting_since == pytest.approx(story.now - 4.1)


def test_another_conversation_knows_nothing_of_the_last():
    story = Story().ask().hear(CALL).voice(0.1, 1.0).voice(0.9, 1.0).voice(0.1, 2.0)
    story.take(ConversationStarted())
    assert not busy(story.state)
    assert not waiting(story.state)
    assert story.take(Ticked()) == []


def test_words_after_an_answer_of_which_a_service_that_tells_gives_no_sign_are_worth_sending_again_once():
    story = Story().ask().hear(SpeechStarted(), LOUD, TurnComplete())
    assert story.speak(0.6, then_s=1.0).take(Ticked()) == [], "they may go on"
    assert story.voice(0.1, 0.4).take(Ticked()) == [WordsMissed()]
    assert story.speak(0.6, then_s=2.0).take(Ticked()) == [], "it may not want to hear them"
    story.ask().hear(LOUD, TurnComplete()).speak(0.6, then_s=2.0)
    assert story.take(Ticked()) == [WordsMissed()]


def test_words_that_the_service_has_heard_or_never_tells_of_are_not_overlooked():
    for story in (
        Story().ask().hear(SpeechStarted(), LOUD, TurnComplete()).ask(),
        Story().ask().hear(LOUD, TurnComplete()),
        Story(),
    ):
        assert WordsMissed() not in story.speak(0.6, then_s=2.0).take(Ticked())
