"""What a person would call broken is found in time, once, and what is only slow or silent on purpose is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.live.messages import (
    GenerationComplete,
    Grounding,
    HeardText,
    Interaction,
    Interrupted,
    LinkMessage,
    ReplyAudio,
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
from appliance.live.session.diagnosis import Action, Diagnosis, Symptom
from appliance.live.session.watchdogs import Limits, Watchdogs
from appliance.units import REPLY, Seconds

LIMITS = Limits()
RETRY, ROTATE, APOLOGISE = Action.RETRY_UTTERANCE, Action.ROTATE, Action.APOLOGISE
CALL = ToolCall("1", "get_time", {})
WORKING, IDLE = StatusReported(Interaction.IN_PROGRESS), StatusReported(Interaction.IDLE)


def tone(seconds: float = 0.1, peak: float = 8000.0) -> ReplyAudio:
    time = np.arange(REPLY.frames(seconds)) / REPLY.rate_hz
    return ReplyAudio((peak * np.sin(2 * np.pi * 440 * time)).astype("<i2").tobytes())


LOUD, MUTE = tone(), tone(peak=3.0)


class Story:
    """Feeds one `Watchdogs` and moves time along."""

    def __init__(self, now: float = 100.0) -> None:
        self.patience = Watchdogs()
        self.now = now
        self.found: list[Diagnosis] = []

    def ask(self) -> "Story":
        self.patience.turn(Seconds(self.now))
        self.patience.stopped(Seconds(self.now))
        return self

    def hear(self, *messages: LinkMessage) -> "Story":
        for message in messages:
            self._note(self.patience.feed(message, Seconds(self.now)))
        return self

    def wait(self, seconds: float) -> "Story":
        end = self.now + seconds
        while (due := self.patience.due()) is not None and due <= end:
            self.now = max(self.now, due)
            self._note(self.patience.check(Seconds(self.now)))
        self.now = end
        return self

    def _note(self, finding: Diagnosis | None) -> None:
        if finding:
            self.found.append(finding)


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
    story.patience.tool_done("1", Seconds(story.now))
    story.wait(LIMITS.reply_s - 0.01)
    assert not story.found
    assert story.wait(0.02).found == [Diagnosis(Symptom.NO_REPLY, APOLOGISE)], "what a tool did is not done twice"


def test_a_cancelled_tool_is_over():
    assert Story().ask().hear(CALL, ToolCallsCancelled(("1",))).wait(8).found == [
        Diagnosis(Symptom.NO_REPLY, APOLOGISE)
    ]


def test_one_turn_is_retried_once_then_there_is_an_apology():
    story = Story().ask().wait(8)
    story.patience.link_opened(Seconds(story.now))
    story.patience.stopped(Seconds(story.now))
    story.wait(8)
    assert story.found == [Diagnosis(Symptom.NO_REPLY, RETRY), Diagnosis(Symptom.NO_REPLY, APOLOGISE)]
    assert story.ask().wait(8).found[2:] == [Diagnosis(Symptom.NO_REPLY, RETRY)], "the next turn has a retry of its own"


def test_words_that_come_late_do_not_end_a_tool():
    story = Story().ask().hear(CALL)
    story.patience.stopped(Seconds(story.now))
    story.wait(60)
    assert not story.found


def test_a_tool_runs_on_over_a_resumed_connection():
    story = Story().ask().hear(CALL)
    story.patience.link_opened(Seconds(story.now))
    assert not story.wait(60).found
    assert story.patience.waiting


def test_who_waits_waits_anew_on_another_connection():
    story = Story().ask().wait(6)
    story.patience.link_opened(Seconds(story.now))
    assert not story.wait(6).found


def test_a_tool_ends_with_its_session_and_is_not_asked_for_again():
    story = Story().ask().hear(CALL)
    story.patience.link_opened(Seconds(story.now))
    story.patience.tools_gone()
    assert story.wait(60).found == [Diagnosis(Symptom.NO_REPLY, APOLOGISE)]


def test_a_person_who_speaks_again_waits_no_more():
    story = Story().ask().wait(6)
    story.patience.turn(Seconds(story.now))
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
    assert not story.found
    assert story.wait(100).found == [Diagnosis(Symptom.STUCK, ROTATE)]


def test_work_that_goes_on_is_not_stuck():
    story = Story().ask().hear(WORKING, LOUD)
    for _ in range(10):
        story.wait(20).hear(Thinking())
    assert not story.hear(IDLE, TurnComplete()).wait(1000).found


# Phantom interruptions


def phantom() -> Story:
    return Story().ask().hear(LOUD).wait(10).hear(Interrupted(), TurnComplete())


def test_an_interruption_by_nobody_and_then_silence_is_a_phantom():
    story = phantom().hear(TurnComplete())
    assert not story.found
    assert story.hear(TurnComplete()).found == [Diagnosis(Symptom.PHANTOM_INTERRUPTION, ROTATE)]
    assert not story.hear(TurnComplete(), TurnComplete()).found[1:]


def test_a_service_that_speaks_again_was_no_phantom():
    assert not phantom().hear(TurnComplete(), LOUD, TurnComplete(), TurnComplete(), TurnComplete()).found


def test_an_interruption_by_somebody_is_none():
    story = Story().ask().hear(LOUD).wait(10)
    story.patience.speech(Seconds(story.now - 1))
    assert not story.hear(Interrupted(), TurnComplete(), TurnComplete(), TurnComplete()).found


# Stalled uplink


def sent(*samples: tuple[float, int, int]) -> list[float]:
    """Return when a stall was found, of samples (moment, bytes written, bytes queued)."""
    patience = Watchdogs()
    return [now for now, written, queued in samples if patience.sent(written, queued, Seconds(now))]


def test_bytes_that_do_not_leave_are_noticed_within_two_seconds_and_once():
    stalled = [(step * 0.25, 1000 + step * 100, 1000 + step * 100) for step in range(20)]
    assert sent(*stalled) == [1.5]


def test_a_stall_is_noticed_too_where_all_had_left_at_every_look_before():
    quick = [(step * 0.25, step * 100, 0) for step in range(4)]
    stalled = [(1.0 + step * 0.25, 400 + step * 100, 100 + step * 100) for step in range(20)]
    assert sent(*quick, *stalled) == [2.5]


def test_a_queue_that_stays_full_while_bytes_leave_is_only_slow():
    assert not sent(*[(step * 0.25, 5000 + step * 100, 5000) for step in range(40)])


def test_an_empty_queue_is_no_stall_however_long():
    assert not sent(*[(float(step), 1000, 0) for step in range(10)])


def test_a_connection_has_a_stall_of_its_own():
    patience = Watchdogs()
    for moment in (0.0, 1.0):
        assert patience.sent(500, 500, Seconds(moment)) is None
    patience.link_opened(Seconds(2.0))
    assert patience.sent(10, 10, Seconds(2.0)) is None
    assert patience.sent(10, 10, Seconds(3.5)) == Diagnosis(Symptom.STALLED_UPLINK, ROTATE)


# Latency creep


def answers(*after_s: float) -> Story:
    story = Story()
    for seconds in after_s:
        story.ask().wait(seconds).hear(LOUD, TurnComplete())
    return story


def test_answers_that_take_twice_as_long_as_the_first_ones_are_noticed():
    assert answers(0.4, 0.5, 0.4, 1.0, 1.1).found == []
    assert answers(0.4, 0.5, 0.4, 1.0, 1.1, 0.9).found == [Diagnosis(Symptom.LATENCY_CREEP, ROTATE)]


def test_one_slow_answer_is_no_creep():
    assert not answers(0.4, 0.5, 0.4, 0.4, 3.0, 0.5, 0.4).found


def test_a_growth_that_nobody_feels_is_none():
    assert not answers(0.1, 0.1, 0.1, *[0.3] * 5).found


def test_a_tool_is_not_the_services_latency():
    story = answers(0.4, 0.4, 0.4)
    for _ in range(5):
        story.ask().hear(CALL).wait(3)
        story.patience.tool_done("1", Seconds(story.now))
        story.hear(LOUD, TurnComplete())
    assert not story.found


# All together

ANYTHING: list[LinkMessage] = [
    LOUD, MUTE, GenerationComplete(), TurnComplete(), Interrupted(), CALL, ToolCallsCancelled(("1",)), WORKING, IDLE,
    Thinking(), UsageReported(1),
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(["turn", "stop", "tool", *ANYTHING]), st.floats(0, 10)), max_size=30))
def test_whatever_happens_each_wait_ends_and_no_utterance_is_retried_twice(steps):
    story = Story()
    retries = 0
    for step, seconds in steps:
        now = Seconds(story.now)
        match step:
            case "turn":
                story.patience.turn(now)
                retries = 0
            case "stop":
                story.patience.stopped(now)
            case "tool":
                story.patience.tool_done("1", now)
            case message:
                story.hear(message)
        story.wait(seconds)
        retries += sum(finding.remedy is RETRY for finding in story.found)
        story.found.clear()
        assert retries <= 1
        due = story.patience.due()
        assert due is None or due > story.now
    story.patience.tool_done("1", Seconds(story.now))
    story.wait(1000)
    assert story.patience.due() is None
