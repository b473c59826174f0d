"""A hostile world against the conversation core: whatever happens in whatever order, its invariants hold.

The world below keeps its own account of links, tools, turns and playback from the effects alone, and offers every
event at any time, plausible or not.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.machine import TABLE, Row, step
from appliance.core.state import (
    NOT_SENDING,
    BargeIn,
    Context,
    Gate,
    Mode,
    Overlap,
    Policy,
    Reply,
    State,
    Talk,
    Yielding,
    gate,
    voice_interrupts,
    wake_armed,
)

RESTING = {State.IDLE, State.STOPPED}


@dataclass
class World:
    """State of the outside world, as far as effects imply it."""

    link: int | None = None
    newest_link: int = 0
    link_open: bool = False
    mode: Mode = Mode.HANDS_FREE
    turn_open: bool = False
    tools: set[str] = field(default_factory=set)
    timers: dict[type[ev.Event], ev.Event] = field(default_factory=dict)
    playing: int = 0
    yielding: Yielding = Yielding.NONE
    deadline: tuple[int, float | None] = (0, 60.0)
    state: State = State.STARTING

    def execute(self, effect: fx.Effect) -> None:  # noqa: C901, PLR0912  one case an effect
        match effect:
            case fx.Enter(state, entry, deadline_s):
                assert entry > self.deadline[0], "deadlines are numbered upwards"
                self.deadline, self.state = (entry, deadline_s), state
            case fx.OpenLink(link, mode, _):
                assert self.link is None, "two links at once"
                assert link == self.newest_link + 1
                assert not self.turn_open or self.mode is mode
                self.link, self.newest_link, self.mode, self.link_open = link, link, mode, False
            case fx.CloseLink(link):
                assert link == self.link, "closed a link that is not there"
                self.link, self.turn_open, self.link_open = None, False, False
            case fx.BeginSpeech(_, mode) if mode is Mode.PUSH_TO_TALK:
                assert not self.turn_open, "a push-to-talk turn began twice"
                self.turn_open, self.mode = True, mode
            case fx.EndSpeech():
                assert self.turn_open, "a push-to-talk turn ended that never began"
                self.turn_open = False
            case fx.StartTools(calls) | fx.RefuseTools(calls):
                assert not self.tools & set(calls), "a call was started twice"
                self.tools |= set(calls)
            case fx.CancelTools(calls):
                assert set(calls) <= self.tools, "a call was cancelled that does not run"
                self.tools -= set(calls)
            case fx.SendToolResult(call):
                assert call in self.tools
                assert self.link is not None, "a result without a link"
                self.tools.remove(call)
            case fx.ResendTurn():
                assert self.link_open, "repeated to nobody"
            case fx.StartTimer(expiry):
                self.timers[type(expiry)] = expiry
            case fx.FlushPlayback():
                self.playing, self.yielding = 0, Yielding.NONE
            case fx.DuckPlayback():
                assert self.yielding is Yielding.NONE
                self.yielding = Yielding.DUCKED
            case fx.PausePlayback():
                assert self.yielding is not Yielding.PAUSED
                self.yielding = Yielding.PAUSED
            case fx.ResumePlayback():
                assert self.yielding is not Yielding.NONE
                self.yielding = Yielding.NONE
            case fx.FinishReply(epoch):
                assert epoch, "finished what is no reply"
                assert epoch == self.playing, "finished a reply that is not being played"
            case _:
                pass


def is_broken_off(before: Context, after: Context, event: ev.Event) -> bool:
    """Tell whether a conversation has ended by trouble or a tap."""
    ended = after.entry != before.entry and after.state in NOT_SENDING
    tapped = isinstance(event, ev.ButtonReleased) and event.press is ev.Press.TAP
    return ended and (tapped or after.state is State.TROUBLE)


class ConversationMachine(RuleBasedStateMachine):
    """Offers events; `_post` checks each step."""

    @initialize(barge_in=st.sampled_from(BargeIn), light_required=st.booleans())
    def start(self, barge_in: BargeIn, light_required: bool) -> None:
        policy = Policy(barge_in=barge_in, greeting="a", tool_calls=3, light_required=light_required)
        self.context = Context(policy)
        self.world = World()
        self.epoch = 0
        self.calls = 0

    def _post(self, event: ev.Event) -> None:
        before = self.context
        after, effects = step(before, event)
        assert step(before, event) == (after, effects), "step is not pure"
        row = TABLE[type(event)][before.state]
        allowed = row.to if isinstance(row, Row) else (before.state,)
        assert after.state in allowed, f"{before.state} + {event} led to {after.state}, the table says {allowed}"
        if before.state is State.SPEAKING and after.state is not State.SPEAKING and before.reply is Reply.COMING:
            assert effects[0] == fx.FlushPlayback() or after.state is State.FAREWELL, "silence comes first"
        if fx.FlushPlayback() in effects and before.reply is not Reply.NONE:
            told_by_service = isinstance(event, ev.ServerInterrupted) and before.state is State.SPEAKING
            assert told_by_service or fx.DiscardReply() in effects, "what is on its way to playback is silenced too"
        assert fx.DropUnsent() in effects or not is_broken_off(before, after, event), "what is unsent stays here"
        if isinstance(event, ev.LinkFailed | ev.LinkLost) and event.link == self.world.link:
            self.world.link, self.world.link_open = None, False
        if isinstance(event, ev.LinkOpened) and event.link == self.world.link:
            self.world.link_open = True
        if isinstance(event, ev.PlaybackDrained) and event.epoch == self.world.playing:
            self.world.playing = 0
        if isinstance(event, ev.ReplyStarted) and fx.DiscardReply() not in effects and after.epoch == event.epoch:
            self.world.playing = event.epoch
        for effect in effects:
            self.world.execute(effect)
        if after.state in NOT_SENDING:
            self.world.turn_open = False
        self.context = after

    @rule()
    def ready(self) -> None:
        self._post(ev.Ready())

    @rule(fault=st.sampled_from(ev.Fault))
    def fault_raised(self, fault: ev.Fault) -> None:
        self._post(ev.FaultRaised(fault))

    @rule(fault=st.sampled_from(ev.Fault))
    def fault_cleared(self, fault: ev.Fault) -> None:
        self._post(ev.FaultCleared(fault))

    @precondition(lambda self: self.context.entry > 40)
    @rule()
    def stop(self) -> None:
        self._post(ev.StopRequested())

    @rule()
    def wake(self) -> None:
        self._post(ev.WakeDetected(16_000))

    @rule()
    def press(self) -> None:
        self._post(ev.ButtonPressed(16_000))

    @rule(press=st.sampled_from(ev.Press))
    def release(self, press: ev.Press) -> None:
        self._post(ev.ButtonReleased(press, 32_000))

    @precondition(lambda self: self.world.link is not None and not self.world.link_open)
    @rule(continuity=st.sampled_from(ev.Continuity))
    def link_opened(self, continuity: ev.Continuity) -> None:
        self._post(ev.LinkOpened(self.world.link or 0, continuity))

    @precondition(lambda self: self.world.link is not None and not self.world.link_open)
    @rule(trouble=st.sampled_from(ev.Trouble))
    def link_delayed(self, trouble: ev.Trouble) -> None:
        self._post(ev.LinkDelayed(self.world.link or 0, trouble))

    @precondition(lambda self: self.world.link is not None and not self.world.link_open)
    @rule(trouble=st.sampled_from(ev.Trouble))
    def link_failed(self, trouble: ev.Trouble) -> None:
        self._post(ev.LinkFailed(self.world.link or 0, trouble))

    @precondition(lambda self: self.world.link_open)
    @rule(resumable=st.booleans(), trouble=st.sampled_from(ev.Trouble), speaks=st.booleans())
    def link_lost(self, resumable: bool, trouble: ev.Trouble, speaks: bool) -> None:
        self._post(ev.LinkLost(self.world.link or 0, resumable, trouble, speaks))

    @precondition(lambda self: self.world.link_open)
    @rule(data=st.data())
    def service_speaks(self, data: st.DataObject) -> None:
        link = self.world.link or 0
        kind = data.draw(st.sampled_from(["speech", "silent", "start", "end", "none", "interrupted", "nobody"]))
        if kind == "start":
            self.epoch += 1
        events: dict[str, ev.Event] = {
            "speech": ev.UserSpeech(link),
            "silent": ev.UserSilent(link),
            "start": ev.ReplyStarted(link, self.epoch),
            "end": ev.ReplyEnded(link, self.epoch),
            "none": ev.ReplyEnded(link, 0),
            "interrupted": ev.ServerInterrupted(link),
            "nobody": ev.NobodyAsked(link),
        }
        self._post(events[kind])

    @precondition(lambda self: self.world.link_open)
    @rule(count=st.integers(1, 2))
    def tools_called(self, count: int) -> None:
        calls = tuple(f"call-{self.calls + number}" for number in range(count))
        self.calls += count
        self._post(ev.ToolsCalled(self.world.link or 0, calls))

    @precondition(lambda self: self.world.link_open)
    @rule(number=st.integers(0, 20))
    def tools_cancelled(self, number: int) -> None:
        self._post(ev.ToolsCancelled(self.world.link or 0, (f"call-{number}",)))

    @rule(number=st.integers(0, 20))
    def tool_done(self, number: int) -> None:
        self._post(ev.ToolDone(f"call-{number}"))

    @rule(number=st.integers(0, 20))
    def tool_slow(self, number: int) -> None:
        self._post(ev.ToolSlow(f"call-{number}"))

    @rule(kind=st.sampled_from([ev.ToolTimeOver, ev.ConversationTimeOver, ev.YieldingOver]))
    def time_over(self, kind: type[ev.Event]) -> None:
        if kind in self.world.timers:
            self._post(self.world.timers[kind])

    @precondition(lambda self: self.world.link_open)
    @rule(repeatable=st.booleans(), heard=st.booleans())
    def unanswered(self, repeatable: bool, heard: bool) -> None:
        self._post(ev.Unanswered(self.world.link or 0, repeatable, heard))

    @precondition(lambda self: self.world.link_open)
    @rule(in_progress=st.booleans())
    def interaction_reported(self, in_progress: bool) -> None:
        self._post(ev.InteractionReported(self.world.link or 0, in_progress))

    @precondition(lambda self: self.world.link_open)
    @rule(kind=st.sampled_from([ev.InputAwaited, ev.TurnRefused]))
    def turn_without_answer(self, kind: type[ev.InputAwaited | ev.TurnRefused]) -> None:
        self._post(kind(self.world.link or 0))

    @precondition(lambda self: self.world.link_open)
    @rule()
    def cap_reached(self) -> None:
        self._post(ev.CapReached(self.world.link or 0, ev.Trouble.CAP_DAY))

    @rule()
    def text_entered(self) -> None:
        self._post(ev.TextEntered("hello"))

    @rule()
    def end_requested(self) -> None:
        self._post(ev.EndRequested())

    @precondition(lambda self: self.world.playing)
    @rule(over_speech=st.booleans())
    def reply_audible(self, over_speech: bool) -> None:
        self._post(ev.ReplyAudible(self.context.epoch, over_speech))

    @rule()
    def overlap_ended(self) -> None:
        self._post(ev.OverlapEnded())

    @rule(cancelled=st.booleans())
    def echo_reported(self, cancelled: bool) -> None:
        self._post(ev.EchoReported(cancelled))

    @rule(kind=st.sampled_from([ev.VoiceSuspected, ev.VoiceConfirmed, ev.VoiceCeased]))
    def voice(self, kind: type[ev.VoiceSuspected | ev.VoiceConfirmed | ev.VoiceCeased]) -> None:
        self._post(kind())

    @precondition(lambda self: self.world.playing)
    @rule()
    def drained(self) -> None:
        if self.context.reply in {Reply.COMPLETE, Reply.CONTINUED}:
            self._post(ev.PlaybackDrained(self.world.playing))

    @precondition(lambda self: self.world.playing)
    @rule()
    def stalled(self) -> None:
        self._post(ev.PlaybackStalled(self.world.playing))

    @rule()
    def deadline(self) -> None:
        if self.world.deadline[1] is not None:
            self._post(ev.DeadlineReached(self.world.deadline[0]))

    @rule(back=st.integers(1, 3))
    def late_news(self, back: int) -> None:
        before = self.context
        for event in (
            ev.LinkOpened(self.context.link - back),
            ev.ReplyEnded(self.context.link - back, self.epoch),
            ev.ServerInterrupted(self.context.link - back),
            ev.DeadlineReached(self.context.entry - back),
            ev.PlaybackDrained(self.epoch + back),
        ):
            self._post(event)
        assert self.context == before, "late news changed something"

    @invariant()
    def effects_and_context_agree(self) -> None:
        if not hasattr(self, "context"):
            return
        context, world = self.context, self.world
        assert world.state is context.state
        assert context.linked == (world.link is not None)
        assert world.tools == set(context.tools)
        assert (world.deadline[1] is None) == (context.state in RESTING)
        if context.state in NOT_SENDING:
            assert not context.linked
            assert not context.tools

    @invariant()
    def without_what_it_takes_there_is_no_conversation(self) -> None:
        missing = {ev.Fault.MICROPHONE, ev.Fault.SPEAKER}
        if self.context.policy.light_required:
            missing.add(ev.Fault.LIGHT)
        if self.context.faults & missing:
            assert self.context.state in {State.FAULT, State.STOPPED}
            assert gate(self.context) is Gate.CLOSED
            assert not wake_armed(self.context)

    @invariant()
    def nothing_leaves_the_device_without_a_turn(self) -> None:
        if not hasattr(self, "context"):
            return
        uplink = gate(self.context)
        if uplink is Gate.OPEN:
            assert self.world.link_open
        if self.context.state in NOT_SENDING:
            assert uplink is Gate.CLOSED

    @invariant()
    def only_a_reply_overlaps(self) -> None:
        if not hasattr(self, "context"):
            return
        assert self.context.overlap is Overlap.NONE or self.context.state is State.SPEAKING

    @invariant()
    def a_reply_yields_only_to_whom_the_service_hears(self) -> None:
        if not hasattr(self, "context"):
            return
        assert self.world.yielding is self.context.yielding
        if self.context.yielding is not Yielding.NONE:
            assert voice_interrupts(self.context)
            assert gate(self.context) is Gate.OPEN
            assert self.world.timers[ev.YieldingOver] == ev.YieldingOver(self.context.yieldings), "it has an end"
        assert self.context.false_pauses <= self.context.policy.false_pauses

    @invariant()
    def a_held_button_has_the_word(self) -> None:
        if not hasattr(self, "context"):
            return
        if self.context.talk is Talk.HELD:
            where = {State.CONNECTING, State.RECONNECTING, State.LISTENING, State.INTERRUPTED}
            assert self.context.state in where
        if self.context.mode is Mode.PUSH_TO_TALK and self.context.state not in NOT_SENDING:
            assert self.world.turn_open == (self.context.talk is Talk.HELD)

    @invariant()
    def a_fault_is_never_hidden(self) -> None:
        if hasattr(self, "context") and self.context.state is State.IDLE:
            assert not self.context.faults

    @invariant()
    def what_is_played_is_shown(self) -> None:
        if hasattr(self, "context") and self.world.playing:
            assert self.context.state in {State.SPEAKING, State.FAREWELL}

    def teardown(self) -> None:
        """Silence always settles: deadlines alone lead to rest."""
        if not hasattr(self, "context"):
            return
        for _ in range(12):
            if self.context.state in {*RESTING, State.FAULT}:
                return
            self._post(ev.DeadlineReached(self.context.entry))
        raise AssertionError(f"hangs in {self.context.state}")


ConversationMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=80, deadline=None)
TestConversation = ConversationMachine.TestCase
