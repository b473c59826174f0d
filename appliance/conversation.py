"""The conversation's shell: events come in, the core decides, effects are executed here and nowhere else.

Everything runs on the loop's thread. `Conversation.post` returns when the event, and all that its effects have caused,
is done: between an interruption and the emptied playback ring there is no await.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, assert_never

from appliance import log
from appliance.core import effects as fx
from appliance.core import events as ev
from appliance.core.latency import Latency, Stopwatch
from appliance.core.machine import step
from appliance.core.state import NOT_SENDING, Context, Gate, Mode, Policy, State, gate
from appliance.live.ports import ToolResult
from appliance.units import Epoch, Pcm, SampleIndex, Seconds


class Turns(Protocol):
    """The uplink: which samples belong to the person's turns."""

    def begin(self, at: SampleIndex, mode: Mode) -> None:
        """Let the next turn start at this microphone sample."""

    def end(self, at: SampleIndex) -> None:
        """Let the turn stop before this microphone sample."""

    def set_gate(self, gate: Gate) -> None:
        """Close, hold or send."""

    def drop_unsent(self) -> None:
        """Send nothing more of the turns."""

    @property
    def sending(self) -> bool:
        """Whether samples still leave, or would once the gate is closed."""

    def reset(self) -> None:
        """Forget the turns of the last conversation."""


class Playout(Protocol):
    """The playback ring."""

    def flush(self) -> object:
        """Be silent at once."""

    def finish(self, epoch: Epoch) -> None:
        """Take no more audio for this reply."""

    def play(self, sound: Pcm) -> None:
        """Mix a sound in."""

    def await_more(self) -> None:
        """Give a reply that has run dry its time anew."""


class Links(Protocol):
    """The keeper of the Live link."""

    def open(self, effect: fx.OpenLink) -> None:
        """Open a link; the outcome comes as an event."""

    def close(self, effect: fx.CloseLink) -> None:
        """Close it; nothing more is heard of it."""

    def begin_speech(self, mode: Mode) -> None:
        """The person takes the word."""

    def end_speech(self) -> None:
        """The button was released."""

    def send_text(self, text: str) -> None:
        """Say something in writing, as soon as there is a link."""

    def resend_turn(self) -> None:
        """Say once more what has no answer."""

    def resend_unconfirmed(self) -> None:
        """Send once more what the person is saying."""

    def discard(self) -> None:
        """Drop the rest of the model's turn."""

    def send_tool_result(self, result: ToolResult) -> None:
        """Answer a tool call."""


class Lights(Protocol):
    """The player of light patterns."""

    def enter(self, state: State, kind: ev.Trouble | ev.Fault | None = None) -> None:
        """Show a state now."""


class Tools(Protocol):
    """The toolbox."""

    def start(self, calls: tuple[str, ...]) -> None:
        """Run these calls; each is reported by `ToolDone`."""

    def refuse(self, calls: tuple[str, ...]) -> None:
        """Run none of these calls; each is reported by `ToolDone`, with an error for the model."""

    def cancel(self, calls: tuple[str, ...]) -> None:
        """Stop these calls."""

    def take(self, call: str) -> ToolResult:
        """Return the result of a call that has ended."""


class Voice(Protocol):
    """The sounds of our own; None where one is switched off."""

    def earcon(self, earcon: fx.Earcon) -> Pcm | None:
        """Return a short sound, 24 kHz mono."""

    def phrase(self, trouble: ev.Trouble | ev.Fault) -> Pcm | None:
        """Return a spoken sentence, 24 kHz mono."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the conversation drives."""

    turns: Turns
    playout: Playout
    links: Links
    lights: Lights
    tools: Tools
    voice: Voice
    somebody_asked: Callable[[], bool]
    """Return whether the microphone has heard a person since the last answer."""
    recover: Callable[[], None]
    """Try to bring failed devices back."""
    quiet_s: Callable[[], float | None] = lambda: None
    """How long ago somebody was last heard to speak at the microphone, if it is known."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One step, for whoever watches (the status line, the demo's picture)."""

    at: Seconds
    event: ev.Event
    before: Context
    after: Context


class Conversation:
    """Owns the context and the one deadline."""

    def __init__(self, policy: Policy, parts: Parts, watch: Callable[[Moment], None] = lambda _: None) -> None:
        self.stopwatch = Stopwatch()
        self._parts = parts
        self._watch = watch
        self._context = Context(policy)
        self._gate: Gate | None = None
        self._unshown: tuple[State, ev.Trouble | ev.Fault | None] | None = None
        """The light that waits for the last sample to have left."""
        self._mailbox: deque[tuple[ev.Event, Seconds]] = deque()
        self._stepping = False
        self._deadline: asyncio.TimerHandle | None = None
        self._timers: dict[type[ev.Event], asyncio.TimerHandle] = {}
        self._stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def context(self) -> Context:
        """The core's context as it stands."""
        return self._context

    def start(self) -> None:
        """Show STARTING and give it its deadline; call once."""
        if self._context.state is State.STARTING:
            self._parts.lights.enter(State.STARTING)
            self._arm(self._context.entry, self._context.policy.starting_s)

    def post(self, event: ev.Event, at: Seconds | None = None) -> None:
        """Take an event that happened at loop time ``at`` (now, if None), and all that follows from it.

        Loop thread only. An event posted by an effect is taken after the effects of the one that caused it, so the
        mailbox never holds more than what one step causes.
        """
        self._mailbox.append((event, at if at is not None else Seconds(self._loop.time())))
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._mailbox:
                self._step(*self._mailbox.popleft())
        finally:
            self._stepping = False

    def audible(self, at: Seconds) -> None:
        """The first sample of a reply is heard at ``at``."""
        self._took(Latency.FIRST_REPLY_CHUNK_TO_SPEAKER, at)
        self._took(Latency.SPEECH_TO_ANSWER, at)

    def silent(self, at: Seconds) -> None:
        """The last sample of a flushed reply is heard at ``at``."""
        self._took(Latency.INTERRUPT_TO_SILENCE, at)

    def all_sent(self) -> None:
        """The uplink has nothing more to send of turns that are over."""
        if self._unshown is not None:
            self._show(*self._unshown)

    async def stopped(self) -> None:
        """Wait for STOPPED."""
        await self._stopped.wait()

    def _step(self, event: ev.Event, at: Seconds) -> None:
        before = self._context
        now = Seconds(self._loop.time())
        self._context, effects = step(before, event)
        for effect in effects:  # before anything is measured or logged: one of them may be silence
            self._execute(effect)
        self._set_gate(gate(self._context))
        self._begin_latencies(event, at, now, before, effects)
        self._end_latencies(event, before)
        self._report(event, before, effects)
        self._watch(Moment(at, event, before, self._context))

    def _execute(self, effect: fx.Effect) -> None:  # noqa: C901, PLR0912, PLR0915  one line an effect
        parts = self._parts
        match effect:
            case fx.Enter():
                self._enter(effect)
            case fx.OpenLink():
                parts.links.open(effect)
            case fx.CloseLink():
                parts.links.close(effect)
            case fx.BeginSpeech(at, mode):
                parts.turns.begin(SampleIndex(at), mode)
                parts.links.begin_speech(mode)
            case fx.EndSpeech(at):
                parts.turns.end(SampleIndex(at))
                parts.links.end_speech()
            case fx.SendText(text):
                parts.links.send_text(text)
            case fx.ResendTurn():
                parts.links.resend_turn()
            case fx.ResendUnconfirmed():
                parts.links.resend_unconfirmed()
            case fx.DropUnsent():
                parts.turns.drop_unsent()
            case fx.FlushPlayback():
                parts.playout.flush()
            case fx.AwaitMore():
                parts.playout.await_more()
            case fx.DiscardReply():
                parts.links.discard()
            case fx.FinishReply(epoch):
                parts.playout.finish(Epoch(epoch))
            case fx.PlayEarcon(earcon):
                self._play(parts.voice.earcon(earcon))
            case fx.Announce(trouble):
                self._play(parts.voice.phrase(trouble))
            case fx.StartTools(calls):
                parts.tools.start(calls)
            case fx.RefuseTools(calls):
                parts.tools.refuse(calls)
            case fx.CancelTools(calls):
                parts.tools.cancel(calls)
            case fx.SendToolResult(call):
                parts.links.send_tool_result(parts.tools.take(call))
            case fx.CheckWhoAsked():
                if not parts.somebody_asked():
                    self.post(ev.NobodyAsked(self._context.link))
            case fx.StartTimer():
                self._start_timer(effect)
            case fx.Recover():
                parts.recover()
            case fx.Ignored():
                pass
            case _:
                assert_never(effect)

    def _enter(self, effect: fx.Enter) -> None:
        context = self._context
        fault = next((fault for fault in ev.Fault if fault in context.faults), None)
        self._show(effect.state, context.trouble if effect.state is State.TROUBLE else fault)
        if effect.state is State.CONNECTING:
            self._parts.turns.reset()
        self._arm(effect.entry, effect.deadline_s)
        if effect.state is State.STOPPED:
            self._stopped.set()

    def _show(self, state: State, kind: ev.Trouble | ev.Fault | None) -> None:
        """Show a state; one in which nothing leaves the device, only once nothing does."""
        self._unshown = None
        if state in NOT_SENDING and self._parts.turns.sending:
            self._unshown = (state, kind)
        else:
            self._parts.lights.enter(state, kind)

    def _arm(self, entry: int, deadline_s: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if deadline_s is not None:
            self._deadline = self._loop.call_later(deadline_s, self.post, ev.DeadlineReached(entry))

    def _start_timer(self, effect: fx.StartTimer) -> None:
        kind = type(effect.expiry)
        if kind in self._timers:
            self._timers[kind].cancel()
        self._timers[kind] = self._loop.call_later(effect.after_s, self.post, effect.expiry)

    def _set_gate(self, new: Gate) -> None:
        if new is not self._gate:
            self._gate = new
            self._parts.turns.set_gate(new)

    def _play(self, sound: Pcm | None) -> None:
        if sound is not None:
            self._parts.playout.play(sound)

    def _begin_latencies(
        self, event: ev.Event, at: Seconds, now: Seconds, before: Context, effects: tuple[fx.Effect, ...]
    ) -> None:
        entered = self._context.entry != before.entry
        if entered and self._context.state is State.CONNECTING:
            self.stopwatch.begin(Latency.WAKE_TO_LIGHT, at)
            self.stopwatch.begin(Latency.WAKE_TO_LINK_OPEN, at)
        if entered and isinstance(event, ev.UserSilent | ev.ButtonReleased | ev.TextEntered):
            self.stopwatch.begin(Latency.SPEECH_TO_ANSWER, at)
        if entered and isinstance(event, ev.UserSpeech):
            self.stopwatch.forget(Latency.SPEECH_TO_ANSWER)
        if isinstance(event, ev.ReplyStarted) and self._context.epoch == event.epoch:
            self.stopwatch.begin(Latency.FIRST_REPLY_CHUNK_TO_SPEAKER, at)
            self._note_early_answer(at, before)
        if fx.FlushPlayback() in effects:
            self.stopwatch.forget(Latency.FIRST_REPLY_CHUNK_TO_SPEAKER)
        if entered and self._context.state is State.INTERRUPTED:
            self.stopwatch.begin(Latency.INTERRUPT_TO_SILENCE, now)

    def _note_early_answer(self, at: Seconds, before: Context) -> None:
        """Measure from the last sound where an answer, or a tool call, comes before the end of the words is known."""
        early = before.state is State.LISTENING or (before.state is State.THINKING and before.tool_ran)
        quiet_s = self._parts.quiet_s() if early and before.mode is Mode.HANDS_FREE else None
        if quiet_s is not None and not self.stopwatch.runs(Latency.SPEECH_TO_ANSWER):
            self.stopwatch.begin(Latency.SPEECH_TO_ANSWER, Seconds(at - quiet_s))

    def _end_latencies(self, event: ev.Event, before: Context) -> None:
        now = Seconds(self._loop.time())
        if self._context.entry != before.entry:
            self._took(Latency.WAKE_TO_LIGHT, now)
        if isinstance(event, ev.LinkOpened) and before.state is State.CONNECTING:
            self._took(Latency.WAKE_TO_LINK_OPEN, now)

    def _took(self, latency: Latency, at: Seconds) -> None:
        taken_ms = self.stopwatch.end(latency, at)
        if taken_ms is not None:
            log.event("conversation.latency", latency=latency.value, ms=round(taken_ms, 1))

    def _report(self, event: ev.Event, before: Context, effects: tuple[fx.Effect, ...]) -> None:
        cause = type(event).__name__
        after = self._context
        if after.state is not before.state:
            trouble = after.trouble.value if after.trouble else None
            log.event(
                "conversation.state", state=after.state.value, before=before.state.value, cause=cause, trouble=trouble
            )
        for effect in effects:
            if isinstance(effect, fx.Ignored):
                log.event(
                    "conversation.ignored", level="debug", cause=cause, state=after.state.value, reason=effect.reason
                )
