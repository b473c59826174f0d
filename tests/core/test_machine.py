"""The conversation core: promises of the table, and whole conversations."""

from dataclasses import replace

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.machine import TABLE, Row, step
from appliance.core.state import Context, Listening, Mode, Policy, State, Talk, deadline_s, gate, wake_armed
from tests.core.story import CLOSED, HOLD, OPEN, Story, held, listening, speaking


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
