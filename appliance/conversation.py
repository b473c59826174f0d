"""The conversation's shell: events come in, the core decides, effects are executed here and nowhere else.

Loop thread only. `Conversation.post` returns once the event and all events that its effects have posted are handled:
between an interruption and the flushed playback there is no await.
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
from appliance.core.state import NOT_SENDING, Context, Gate, Mode, Policy, State, Yielding, gate
from appliance.live.ports import ToolResult
from appliance.units import Epoch, Pcm, SampleIndex, Seconds


class Uplink(Protocol):
    """Sends the person's turns."""

    def begin(self, at: SampleIndex, mode: Mode) -> None:
        """Begin a turn at this microphone sample."""

    def end(self, at: SampleIndex) -> None:
        """End the turn before this microphone sample."""

    def set_gate(self, gate: Gate) -> None:
        """Close the uplink, hold samples, or send them."""

    def drop_unsent(self) -> None:
        """Discard samples that were not sent yet."""

    @property
    def sending(self) -> bool:
        """Whether samples are still being sent, or would be even if the gate were closed now."""

    def reset(self) -> None:
        """Forget the turns of the last conversation."""


class Playback(Protocol):
    """Plays replies and sounds."""

    def flush(self) -> object:
        """Silence the reply at once."""

    def finish(self, epoch: Epoch) -> None:
        """Note that this reply has all its audio."""

    def play(self, sound: Pcm) -> None:
        """Mix a sound in."""

    def duck(self) -> None:
        """Turn the reply down."""

    def pause(self) -> None:
        """Silence the reply at once, and keep what was not heard."""

    def resume(self) -> None:
        """Play it on at its full volume."""

    def await_more(self) -> None:
        """Restart the stall timer of the reply that is being played."""


class Session(Protocol):
    """Manages the Live link."""

    def open(self, effect: fx.OpenLink) -> None:
        """Open a link; an event reports the outcome."""

    def close(self, effect: fx.CloseLink) -> None:
        """Close it; it posts no more events."""

    def begin_speech(self, mode: Mode) -> None:
        """Begin the person's turn, after a wake word or press."""

    def end_speech(self) -> None:
        """End the person's turn: the button was released."""

    def send_text(self, text: str) -> None:
        """Send a text as soon as there is a link."""

    def resend_turn(self) -> None:
        """Send again what has no answer."""

    def resend_unconfirmed(self) -> None:
        """Send again what may not have arrived."""

    def discard(self) -> None:
        """Drop the rest of the model's turn."""

    def send_tool_result(self, result: ToolResult) -> None:
        """Answer a tool call."""


class Light(Protocol):
    """Plays light patterns."""

    def enter(self, state: State, kind: ev.Trouble | ev.Fault | None = None) -> None:
        """Show a state now."""


class Tools(Protocol):
    """Runs tools."""

    def start(self, calls: tuple[str, ...]) -> None:
        """Run these calls; `ToolDone` reports each."""

    def refuse(self, calls: tuple[str, ...]) -> None:
        """Run none of these calls; `ToolDone` reports each, with an error for the model."""

    def cancel(self, calls: tuple[str, ...]) -> None:
        """Stop these calls."""

    def take(self, call: str) -> ToolResult:
        """Return the result of a finished call."""


class Sounds(Protocol):
    """Earcons and spoken messages; None for one that is switched off."""

    def earcon(self, earcon: fx.Earcon) -> Pcm | None:
        """Return a short sound, 24 kHz mono."""

    def phrase(self, trouble: ev.Trouble | ev.Fault) -> Pcm | None:
        """Return a spoken sentence, 24 kHz mono."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that effects act on."""

    uplink: Uplink
    playback: Playback
    session: Session
    light: Light
    tools: Tools
    sounds: Sounds
    person_spoke: Callable[[], bool]
    """Return whether the microphone has heard a person since the last answer."""
    recover: Callable[[], None]
    """Retry failed devices."""
    quiet_s: Callable[[], float | None] = lambda: None
    """Return how long ago speech was last detected at the microphone; None if unknown."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of the core, for observers (the status line, the demo's picture)."""

    at: Seconds
    event: ev.Event
    before: Context
    after: Context


class Conversation:
    """Owns the context, its deadline and its timers."""

    def __init__(self, policy: Policy, parts: Parts, on_moment: Callable[[Moment], None] = lambda _: None) -> None:
        self.stopwatch = Stopwatch()
        self._parts = parts
        self._on_moment = on_moment
        self._context = Context(policy)
        self._gate: Gate | None = None
        self._pending_light: tuple[State, ev.Trouble | ev.Fault | None] | None = None
        """The state that the light shows once the last sample has been sent."""
        self._queue: deque[tuple[ev.Event, Seconds]] = deque()
        self._stepping = False
        self._deadline: asyncio.TimerHandle | None = None
        self._timers: dict[type[ev.Event], asyncio.TimerHandle] = {}
        self._stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def context(self) -> Context:
        """The current context."""
        return self._context

    def start(self) -> None:
        """Show STARTING and start its deadline; call once."""
        if self._context.state is State.STARTING:
            self._parts.light.enter(State.STARTING)
            self._arm(self._context.entry, self._context.policy.starting_s)

    def post(self, event: ev.Event, at: Seconds | None = None) -> None:
        """Handle an event that happened at loop time ``at`` (now, if None), and all events that its effects post.

        An event posted by an effect is handled after the remaining effects of the step that caused it, so the queue
        never holds more than one step's events.
        """
        self._queue.append((event, at if at is not None else Seconds(self._loop.time())))
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._queue:
                self._step(*self._queue.popleft())
        finally:
            self._stepping = False

    def audible(self, at: Seconds) -> None:
        """Note that the first sample of a reply is audible at ``at``."""
        self._end_latency(Latency.FIRST_REPLY_CHUNK_TO_SPEAKER, at)
        self._end_latency(Latency.SPEECH_TO_ANSWER, at)

    def silent(self, at: Seconds) -> None:
        """Note that the last sample of a flushed or paused reply is audible at ``at``."""
        if self._context.yielding is Yielding.PAUSED:
            self._end_latency(Latency.VOICE_TO_PAUSE, at)
        self._end_latency(Latency.INTERRUPT_TO_SILENCE, at)

    def all_sent(self) -> None:
        """Note that the uplink has sent everything of finished turns."""
        if self._pending_light is not None:
            self._show(*self._pending_light)

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
        self._log(event, before, effects)
        self._on_moment(Moment(at, event, before, self._context))

    def _execute(self, effect: fx.Effect) -> None:  # noqa: C901, PLR0912, PLR0915  one line an effect
        parts = self._parts
        match effect:
            case fx.Enter():
                self._enter(effect)
            case fx.OpenLink():
                parts.session.open(effect)
            case fx.CloseLink():
                parts.session.close(effect)
            case fx.BeginSpeech(at, mode):
                parts.uplink.begin(SampleIndex(at), mode)
                parts.session.begin_speech(mode)
            case fx.EndSpeech(at):
                parts.uplink.end(SampleIndex(at))
                parts.session.end_speech()
            case fx.SendText(text):
                parts.session.send_text(text)
            case fx.ResendTurn():
                parts.session.resend_turn()
            case fx.ResendUnconfirmed():
                parts.session.resend_unconfirmed()
            case fx.DropUnsent():
                parts.uplink.drop_unsent()
            case fx.FlushPlayback():
                parts.playback.flush()
            case fx.DuckPlayback():
                parts.playback.duck()
            case fx.PausePlayback():
                parts.playback.pause()
            case fx.ResumePlayback():
                parts.playback.resume()
            case fx.AwaitMore():
                parts.playback.await_more()
            case fx.DiscardReply():
                parts.session.discard()
            case fx.FinishReply(epoch):
                parts.playback.finish(Epoch(epoch))
            case fx.PlayEarcon(earcon):
                self._play(parts.sounds.earcon(earcon))
            case fx.Announce(trouble):
                self._play(parts.sounds.phrase(trouble))
            case fx.StartTools(calls):
                parts.tools.start(calls)
            case fx.RefuseTools(calls):
                parts.tools.refuse(calls)
            case fx.CancelTools(calls):
                parts.tools.cancel(calls)
            case fx.SendToolResult(call):
                parts.session.send_tool_result(parts.tools.take(call))
            case fx.CheckWhoAsked():
                if not parts.person_spoke():
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
            self._parts.uplink.reset()
        self._arm(effect.entry, effect.deadline_s)
        if effect.state is State.STOPPED:
            self._stopped.set()

    def _show(self, state: State, kind: ev.Trouble | ev.Fault | None) -> None:
        """Show a state; one that means nothing is sent, only once nothing is."""
        self._pending_light = None
        if state in NOT_SENDING and self._parts.uplink.sending:
            self._pending_light = (state, kind)
        else:
            self._parts.light.enter(state, kind)

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
            self._parts.uplink.set_gate(new)

    def _play(self, sound: Pcm | None) -> None:
        if sound is not None:
            self._parts.playback.play(sound)

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
        if fx.DuckPlayback() in effects:
            self.stopwatch.begin(Latency.VOICE_TO_DUCK, at)
            self.stopwatch.begin(Latency.VOICE_TO_PAUSE, at)
        if fx.ResumePlayback() in effects:
            self.stopwatch.forget(Latency.VOICE_TO_PAUSE)
        if fx.FlushPlayback() in effects:
            self.stopwatch.forget(Latency.VOICE_TO_PAUSE)
            self.stopwatch.forget(Latency.FIRST_REPLY_CHUNK_TO_SPEAKER)
        if entered and self._context.state is State.INTERRUPTED:
            self.stopwatch.begin(Latency.INTERRUPT_TO_SILENCE, now)

    def _note_early_answer(self, at: Seconds, before: Context) -> None:
        """Measure from the last speech if an answer or a tool call comes before the end of speech is reported."""
        early = before.state is State.LISTENING or (before.state is State.THINKING and before.tool_ran)
        quiet_s = self._parts.quiet_s() if early and before.mode is Mode.HANDS_FREE else None
        if quiet_s is not None and not self.stopwatch.runs(Latency.SPEECH_TO_ANSWER):
            self.stopwatch.begin(Latency.SPEECH_TO_ANSWER, Seconds(at - quiet_s))

    def _end_latencies(self, event: ev.Event, before: Context) -> None:
        now = Seconds(self._loop.time())
        self._end_latency(Latency.VOICE_TO_DUCK, now)
        if self._context.entry != before.entry:
            self._end_latency(Latency.WAKE_TO_LIGHT, now)
        if isinstance(event, ev.LinkOpened) and before.state is State.CONNECTING:
            self._end_latency(Latency.WAKE_TO_LINK_OPEN, now)

    def _end_latency(self, latency: Latency, at: Seconds) -> None:
        duration_ms = self.stopwatch.end(latency, at)
        if duration_ms is not None:
            log.event("conversation.latency", latency=latency.value, ms=round(duration_ms, 1))

    def _log(self, event: ev.Event, before: Context, effects: tuple[fx.Effect, ...]) -> None:
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
