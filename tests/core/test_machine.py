"""The conversation core: whole journeys, and the table's promises."""

from dataclasses import replace

import pytest

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.machine import TABLE, Row, step
from appliance.core.state import (
    BargeIn,
    Context,
    Gate,
    Listening,
    Mode,
    Overlap,
    Policy,
    State,
    Talk,
    deadline_s,
    gate,
    wake_armed,
)

OPEN, HOLD, CLOSED = Gate.OPEN, Gate.HOLD, Gate.CLOSED


class Story:
    """Tells events one after the other and keeps the last effects."""

    def __init__(self, barge_in: BargeIn = BargeIn.WAKE_WORD) -> None:
        self.context = Context(Policy(barge_in=barge_in))
        self.effects: tuple[fx.Effect, ...] = ()

    def tell(self, *events: ev.Event) -> "Story":
        for event in events:
            self.context, self.effects = step(self.context, event)
        return self

    def deadline(self) -> "Story":
        return self.tell(ev.DeadlineReached(self.context.entry))

    def at(self, state: State) -> bool:
        return self.context.state is state

    def did(self, kind: type[fx.Effect]) -> list[fx.Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


def listening(barge_in: BargeIn = BargeIn.WAKE_WORD) -> Story:
    return Story(barge_in).tell(ev.Ready(), ev.WakeDetected(100), ev.LinkOpened(1))


def speaking(barge_in: BargeIn = BargeIn.WAKE_WORD) -> Story:
    return beginning(barge_in).tell(ev.ReplyAudible(7, over_speech=False))


def beginning(barge_in: BargeIn = BargeIn.WAKE_WORD) -> Story:
    return listening(barge_in).tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ReplyStarted(1, 7))


def held() -> Story:
    return Story().tell(ev.Ready(), ev.ButtonPressed(100), ev.LinkOpened(1))


def test_every_pair_of_state_and_event_has_a_row():
    assert set(TABLE) == set(ev.EVENTS)
    for event, rows in TABLE.items():
        assert set(rows) == set(State), event
        assert all(isinstance(row, Row) or (isinstance(row, str) and row) for row in rows.values())


def test_every_event_is_in_the_tuple_of_events():
    assert set(ev.EVENTS) == set(ev.Event.__args__)


def test_every_state_but_the_resting_ones_has_a_deadline():
    for state in State:
        limit = deadline_s(Context(state=state))
        assert (limit is None) == (state in {State.IDLE, State.STOPPED})


def test_a_whole_hands_free_conversation():
    story = Story().tell(ev.Ready())
    assert story.at(State.IDLE)
    assert gate(story.context) is CLOSED
    assert wake_armed(story.context)
    story.tell(ev.WakeDetected(speech_from=1600))
    assert story.at(State.CONNECTING)
    assert gate(story.context) is HOLD
    assert not wake_armed(story.context)
    assert story.effects[1:] == (
        fx.OpenLink(1, Mode.HANDS_FREE, fx.Session.CONTINUE_IF_RECENT),
        fx.BeginSpeech(1600, Mode.HANDS_FREE),
        fx.StartTimer(ev.ConversationTimeOver(1), Policy().longest_s),
        fx.PlayEarcon(fx.Earcon.WAKE),
    )
    assert story.tell(ev.LinkOpened(1)).at(State.LISTENING)
    assert gate(story.context) is OPEN
    assert story.tell(ev.UserSpeech(1)).context.listening is Listening.SPEECH
    assert story.tell(ev.UserSilent(1)).at(State.THINKING)
    assert gate(story.context) is OPEN
    assert story.tell(ev.ReplyStarted(1, 1)).at(State.SPEAKING)
    story.tell(ev.ReplyAudible(1, over_speech=False))
    assert gate(story.context) is CLOSED
    assert wake_armed(story.context)
    assert story.tell(ev.ReplyEnded(1, 1)).effects == (fx.FinishReply(1),)
    assert story.at(State.SPEAKING), "the card is still playing"
    assert story.tell(ev.PlaybackDrained(1)).at(State.LISTENING)
    assert story.context.listening is Listening.FOLLOW_UP
    assert story.deadline().at(State.IDLE)
    assert fx.CloseLink(1) in story.effects


def test_a_whole_push_to_talk_turn():
    story = held()
    assert fx.BeginSpeech(100, Mode.PUSH_TO_TALK) not in story.effects, "it was ordered with the press"
    assert story.at(State.LISTENING)
    assert gate(story.context) is OPEN
    story.tell(ev.ButtonReleased(ev.Press.HOLD, 900))
    assert story.effects[0] == fx.EndSpeech(900)
    assert story.at(State.THINKING)
    assert gate(story.context) is CLOSED
    story.tell(ev.ReplyStarted(1, 1), ev.ReplyEnded(1, 1), ev.PlaybackDrained(1))
    assert story.at(State.LISTENING)
    assert gate(story.context) is CLOSED
    assert wake_armed(story.context), "nothing is sent outside a press"


def test_a_release_before_the_link_opens_waits_for_the_answer():
    story = Story().tell(ev.Ready(), ev.ButtonPressed(0), ev.ButtonReleased(ev.Press.HOLD, 500))
    assert story.effects == (fx.EndSpeech(500),)
    assert story.tell(ev.LinkOpened(1)).at(State.THINKING)


def test_a_tap_ends_the_conversation_wherever_the_press_led():
    for story in (Story().tell(ev.Ready(), ev.ButtonPressed(0)), held(), speaking().tell(ev.ButtonPressed(5))):
        story.tell(ev.ButtonReleased(ev.Press.TAP, 10))
        assert story.at(State.IDLE)
        assert story.did(fx.CloseLink)


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


def test_silence_that_the_model_chose_ends_the_turn_quietly():
    story = listening().tell(ev.UserSilent(1), ev.ReplyEnded(1, 0))
    assert story.at(State.LISTENING)
    assert not story.did(fx.Announce)


def test_an_answer_that_never_comes_is_told():
    story = listening().tell(ev.UserSilent(1)).deadline()
    assert story.at(State.TROUBLE)
    assert story.context.trouble is ev.Trouble.SILENT_SERVICE
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.SILENT_SERVICE)]
    assert story.deadline().at(State.IDLE)
    assert story.context.trouble is None


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


LOST = ev.LinkLost(1, resumable=True, trouble=ev.Trouble.LOST)
LOST_AGAIN = ev.LinkLost(2, resumable=True, trouble=ev.Trouble.LOST)


def thinking() -> Story:
    return listening().tell(ev.UserSpeech(1), ev.UserSilent(1))


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


def test_what_kept_a_link_from_opening_is_told_when_the_time_is_over():
    story = Story().tell(ev.Ready(), ev.WakeDetected(0), ev.LinkDelayed(1, ev.Trouble.CLOCK))
    assert story.at(State.CONNECTING)
    assert story.deadline().did(fx.Announce) == [fx.Announce(ev.Trouble.CLOCK)]
    story = Story().tell(ev.Ready(), ev.WakeDetected(0)).deadline()
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.NETWORK)]


def test_a_service_that_does_not_answer_is_asked_once_more_on_a_new_session():
    story = thinking().tell(ev.Unanswered(1, repeatable=True))
    assert story.at(State.RECONNECTING)
    assert story.effects[0] == fx.CloseLink(1)
    assert story.did(fx.OpenLink) == [fx.OpenLink(2, Mode.HANDS_FREE, fx.Session.NEW)]
    assert story.tell(ev.LinkOpened(2)).did(fx.ResendTurn)
    story.tell(ev.Unanswered(2, repeatable=False))
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.SILENT_SERVICE)]


def test_a_service_that_works_on_is_waited_for_after_what_it_has_said_and_only_idle_ends_that():
    story = speaking().tell(ev.InteractionReported(1, in_progress=True), ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
    assert story.at(State.THINKING)
    assert story.tell(ev.ReplyEnded(1, 0)).at(State.THINKING), "a turn without audio is not the last"
    assert story.tell(ev.ReplyStarted(1, 8), ev.ReplyEnded(1, 8), ev.PlaybackDrained(8)).at(State.THINKING)
    assert story.tell(ev.InteractionReported(1, in_progress=False)).at(State.LISTENING)
    assert story.context.listening is Listening.FOLLOW_UP


def test_a_report_that_comes_after_what_was_said_is_played_still_counts():
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7), ev.InteractionReported(1, in_progress=True))
    assert story.at(State.THINKING)
    assert story.tell(ev.UserSpeech(1)).at(State.LISTENING), "the person may go on"
    assert story.deadline().at(State.THINKING), "and is not left while the service works"


def test_a_model_that_waits_for_more_gives_the_person_the_word():
    assert thinking().tell(ev.InputAwaited(1)).at(State.LISTENING)


def test_a_question_that_may_not_be_answered_is_told_in_words_once_what_there_is_was_heard():
    story = thinking().tell(ev.TurnRefused(1))
    assert story.did(fx.Announce) == [fx.Announce(ev.Trouble.DECLINED)]
    story = speaking().tell(ev.TurnRefused(1), ev.ReplyEnded(1, 7))
    assert story.at(State.SPEAKING)
    assert story.tell(ev.PlaybackDrained(7)).did(fx.Announce) == [fx.Announce(ev.Trouble.DECLINED)]


def test_what_nobody_but_the_microphone_has_heard_is_no_reason_to_apologise():
    story = thinking().tell(ev.Unanswered(1, repeatable=False, heard=False))
    assert story.at(State.IDLE)
    assert not story.did(fx.Announce)


@pytest.mark.parametrize(("speaks", "state"), [(True, State.RECONNECTING), (False, State.IDLE)])
def test_a_link_that_is_lost_while_one_could_go_on_is_resumed_for_whoever_speaks(speaks: bool, state: State):
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.PlaybackDrained(7))
    assert story.context.listening is Listening.FOLLOW_UP
    lost = ev.LinkLost(1, resumable=True, trouble=ev.Trouble.NETWORK, speaks=speaks)
    assert story.tell(lost).at(state)


def test_a_question_that_a_tool_has_acted_upon_is_not_asked_again():
    story = thinking().tell(ev.ToolsCalled(1, ("a",)), ev.ToolDone("a"), ev.Unanswered(1, repeatable=True))
    assert story.at(State.TROUBLE)
    story = thinking().tell(ev.ToolsCalled(1, ("a",)), ev.ToolDone("a"))
    story.tell(ev.ReplyStarted(1, 1), ev.ReplyEnded(1, 1), ev.PlaybackDrained(1))
    assert not story.context.tool_ran, "the next question may be"


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


def test_a_text_begins_a_conversation_with_the_microphone_closed():
    story = Story().tell(ev.Ready(), ev.TextEntered("hello"))
    assert story.at(State.CONNECTING)
    assert story.effects[1:3] == (
        fx.OpenLink(1, Mode.PUSH_TO_TALK, fx.Session.CONTINUE_IF_RECENT),
        fx.SendText("hello"),
    )
    assert not story.did(fx.BeginSpeech)
    assert story.tell(ev.LinkOpened(1)).at(State.THINKING)
    assert gate(story.context) is CLOSED
    story.tell(ev.ReplyStarted(1, 1), ev.ReplyEnded(1, 1), ev.PlaybackDrained(1))
    assert story.at(State.LISTENING)
    assert gate(story.context) is CLOSED
    assert wake_armed(story.context)


def test_a_text_interrupts_a_reply_and_does_not_take_the_word_from_a_held_button():
    story = speaking().tell(ev.TextEntered("stop"))
    assert story.effects[:3] == (fx.FlushPlayback(), fx.DiscardReply(), fx.SendText("stop"))
    assert story.at(State.THINKING)
    assert listening().tell(ev.TextEntered("a")).effects[0] == fx.SendText("a")
    assert not held().tell(ev.TextEntered("a")).did(fx.SendText)
    assert "secret" not in repr(ev.TextEntered("secret")) + repr(fx.SendText("secret"))


def test_a_slow_tool_is_heard_where_there_is_silence():
    story = thinking().tell(ev.ToolsCalled(1, ("a",)))
    assert deadline_s(story.context) == Policy().tools_s
    assert story.tell(ev.ToolSlow("a")).effects == (fx.PlayEarcon(fx.Earcon.WORKING),)
    assert not story.tell(ev.ToolSlow("b")).did(fx.PlayEarcon)
    assert not story.tell(ev.ReplyStarted(1, 1), ev.ToolSlow("a")).did(fx.PlayEarcon)


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


def test_what_is_on_its_way_to_playback_is_dropped_when_a_reply_is_silenced():
    for event in (
        ev.StopRequested(),
        ev.PlaybackStalled(7),
        ev.LinkLost(1, resumable=True, trouble=ev.Trouble.NETWORK),
    ):
        assert speaking().tell(event).effects[:2] == (fx.FlushPlayback(), fx.DiscardReply())


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


def test_a_turn_without_audio_does_not_stand_for_the_last_words_while_a_tool_runs():
    story = listening().tell(ev.ToolsCalled(1, ("a",)), ev.EndRequested(), ev.ReplyEnded(1, 0))
    assert story.at(State.FAREWELL)
    assert not story.did(fx.FinishReply)
    assert story.tell(ev.ToolDone("a"), ev.ReplyEnded(1, 0)).at(State.IDLE)


def test_a_broken_microphone_is_a_fault_until_it_is_back():
    story = listening().tell(ev.FaultRaised(ev.Fault.MICROPHONE))
    assert story.at(State.FAULT)
    assert fx.CloseLink(1) in story.effects
    assert story.tell(ev.ButtonPressed(0)).at(State.FAULT)
    assert story.deadline().did(fx.Recover)
    assert story.tell(ev.FaultCleared(ev.Fault.MICROPHONE)).at(State.IDLE)


def test_without_the_wake_word_the_button_still_works():
    story = Story().tell(ev.Ready(), ev.FaultRaised(ev.Fault.WAKE_WORD))
    assert story.at(State.FAULT)
    story.tell(ev.ButtonPressed(0))
    assert story.at(State.CONNECTING)
    assert story.tell(ev.LinkFailed(1, ev.Trouble.NETWORK)).deadline().at(State.FAULT), "a fault is never hidden"


def test_the_wake_word_changes_a_push_to_talk_conversation_to_hands_free():
    story = held().tell(ev.ButtonReleased(ev.Press.HOLD, 1), ev.ReplyStarted(1, 1), ev.WakeDetected(50))
    assert story.at(State.CONNECTING)
    assert story.effects[0] == fx.FlushPlayback()
    assert story.did(fx.OpenLink) == [fx.OpenLink(2, Mode.HANDS_FREE, fx.Session.RESUME)]
    assert story.context.talk is Talk.NONE


def test_what_is_late_changes_nothing():
    context = replace(speaking().context, link=5)
    for event in (
        ev.LinkLost(1, resumable=True, trouble=ev.Trouble.NETWORK),
        ev.ServerInterrupted(1),
        ev.PlaybackDrained(3),
        ev.DeadlineReached(0),
        ev.ToolDone("old"),
        ev.ButtonReleased(ev.Press.HOLD, 1),
    ):
        after, effects = step(context, event)
        assert after == context
        assert [type(effect) for effect in effects] == [fx.Ignored]


def test_a_stop_ends_everything_in_every_state():
    for state in State:
        context = replace(Context(), state=state, linked=state is State.LISTENING, link=1)
        after, _ = step(context, ev.StopRequested())
        assert after.state is State.STOPPED
        assert not after.linked


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


def test_after_some_answers_in_a_row_a_person_has_to_have_asked_for_the_next():
    story = listening()
    for number in range(1, Policy().trusted_answers + 1):
        story.tell(ev.UserSilent(1), ev.ReplyStarted(1, number))
        assert not story.did(fx.CheckWhoAsked)
        assert story.tell(ev.ReplyEnded(1, number), ev.PlaybackDrained(number)).at(State.LISTENING)
    story.tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ReplyStarted(1, 9))
    assert story.did(fx.CheckWhoAsked)
    story.tell(ev.NobodyAsked(1))
    assert story.at(State.IDLE)
    assert story.effects[:3] == (fx.FlushPlayback(), fx.DiscardReply(), fx.DropUnsent())


def test_what_the_model_adds_to_its_answer_and_what_a_wake_word_asked_for_needs_no_proof():
    story = listening()
    for number in range(1, Policy().trusted_answers + 1):
        story.tell(ev.UserSilent(1), ev.ReplyStarted(1, number), ev.ReplyEnded(1, number), ev.PlaybackDrained(number))
    story.tell(ev.UserSilent(1), ev.ReplyStarted(1, 8), ev.ToolsCalled(1, ("a",)), ev.ReplyEnded(1, 8))
    story.tell(ev.PlaybackDrained(8), ev.ToolDone("a"), ev.ReplyStarted(1, 9))
    assert not story.did(fx.CheckWhoAsked), "it goes on after a tool"
    story.tell(ev.ReplyEnded(1, 9), ev.PlaybackDrained(9), ev.WakeDetected(0), ev.UserSilent(1), ev.ReplyStarted(1, 10))
    assert not story.did(fx.CheckWhoAsked)


def test_a_conversation_that_has_lasted_long_does_not_end_while_the_button_is_held():
    context = Context(Policy(farewell="Goodbye."))
    for event in (ev.Ready(), ev.ButtonPressed(0), ev.LinkOpened(1)):
        context, _ = step(context, event)
    for later in (ev.ConversationTimeOver(context.request), ev.UserSpeech(1)):
        context, _ = step(context, later)
        assert (context.state, context.talk) == (State.LISTENING, Talk.HELD)


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


@pytest.mark.parametrize("goes_on", [ev.WakeDetected(500), ev.ButtonPressed(500), ev.ServerInterrupted(1)])
def test_a_person_who_goes_on_after_an_answer_that_was_declined_has_the_word(goes_on: ev.Event):
    story = speaking().tell(ev.ReplyEnded(1, 7), ev.TurnRefused(1), goes_on).deadline()
    assert story.at(State.LISTENING)
    story.tell(ev.ButtonReleased(ev.Press.HOLD, 900), ev.UserSpeech(1), ev.UserSilent(1))
    story.tell(ev.ReplyStarted(1, 8), ev.ReplyEnded(1, 8), ev.PlaybackDrained(8))
    assert story.at(State.LISTENING)


def test_a_cap_counts_more_than_an_answer_that_was_declined():
    story = speaking().tell(ev.CapReached(1, ev.Trouble.CAP_DAY), ev.ReplyEnded(1, 7), ev.TurnRefused(1))
    assert story.tell(ev.PlaybackDrained(7)).context.trouble is ev.Trouble.CAP_DAY


@pytest.mark.parametrize("interruption", [ev.WakeDetected(500), ev.ServerInterrupted(1)])
def test_a_new_question_is_asked_again_though_a_tool_has_acted_upon_the_one_before(interruption: ev.Event):
    story = listening(BargeIn.VOICE).tell(ev.UserSpeech(1), ev.UserSilent(1), ev.ToolsCalled(1, ("a",)))
    story.tell(ev.ToolDone("a"), ev.ReplyStarted(1, 7), interruption, ev.UserSpeech(1)).deadline()
    story.tell(ev.UserSilent(1), ev.Unanswered(1, repeatable=True))
    assert story.at(State.RECONNECTING)
