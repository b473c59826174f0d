import pytest

from appliance.core.events import UserSilent, UserSpeech
from appliance.core.state import Mode
from appliance.live.messages import HeardText, Interrupted, LinkMessage, SpeechEnded, SpeechStarted, TurnComplete
from appliance.live.session.turn_detection import TurnDetection

SAID = HeardText("hello")


def heard(hearing: TurnDetection, *messages: LinkMessage) -> list[UserSpeech | UserSilent]:
    return [event for message in messages if (event := hearing.feed(message))]


def test_the_person_begins_once_however_often_it_is_told():
    hearing = TurnDetection(3, Mode.HANDS_FREE)
    assert heard(hearing, SpeechStarted(), SAID, SpeechStarted(), SAID) == [UserSpeech(3)]


def test_a_transcript_is_enough():
    assert heard(TurnDetection(3, Mode.HANDS_FREE), SAID, SAID) == [UserSpeech(3)]


def test_the_rest_of_the_transcript_after_the_end_of_speech_is_old():
    hearing = TurnDetection(3, Mode.HANDS_FREE)
    assert heard(hearing, SpeechStarted(), SpeechEnded(), SAID, SpeechEnded()) == [UserSpeech(3), UserSilent(3)]


def test_a_person_who_goes_on_is_heard_again():
    hearing = TurnDetection(3, Mode.HANDS_FREE)
    events = heard(hearing, SpeechStarted(), SpeechEnded(), SpeechStarted())
    assert events == [UserSpeech(3), UserSilent(3), UserSpeech(3)]


def test_the_transcript_of_what_is_being_answered_is_old():
    hearing = TurnDetection(3, Mode.HANDS_FREE)
    hearing.answered()
    assert heard(hearing, SAID) == []


@pytest.mark.parametrize("news", [TurnComplete(), Interrupted()], ids=["turn over", "interrupted"])
def test_after_the_models_turn_a_transcript_counts_again(news):
    hearing = TurnDetection(3, Mode.HANDS_FREE)
    hearing.answered()
    assert heard(hearing, news, SAID) == [UserSpeech(3)]


def test_who_began_to_speak_during_an_answer_is_heard_once_more_when_that_interrupts_it():
    hearing = TurnDetection(3, Mode.HANDS_FREE)
    hearing.answered()
    assert heard(hearing, SpeechStarted(), Interrupted(), TurnComplete()) == [UserSpeech(3), UserSpeech(3)]


def test_who_goes_on_after_an_end_that_is_known_here_is_heard_again():
    hearing = TurnDetection(3, Mode.HANDS_FREE)
    assert heard(hearing, SAID) == [UserSpeech(3)]
    hearing.stopped()
    assert heard(hearing, SAID) == [UserSpeech(3)]


def test_with_a_button_the_service_is_not_asked():
    assert heard(TurnDetection(3, Mode.PUSH_TO_TALK), SpeechStarted(), SAID, SpeechEnded()) == []
