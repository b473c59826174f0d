"""Joins the parts of the appliance and runs them in one task group.

Adapters are chosen in `appliance.app`. Loop thread only.
"""

import asyncio
from contextlib import suppress
from datetime import date
from typing import Final

from appliance import log
from appliance.adapters import Adapters
from appliance.audio.capture.dispatcher import CaptureDispatcher
from appliance.audio.capture.microphone_buffer import MicrophoneBuffer
from appliance.audio.capture.uplink import Uplink
from appliance.audio.echo.guard import EchoGuard
from appliance.audio.echo.monitor import EchoMonitor, log_choice
from appliance.audio.playback.playback import Playback
from appliance.audio.playback.reports import Reports
from appliance.audio.ports import Block
from appliance.audio.sounds import PhrasesOnly, Sounds
from appliance.button.adapter import ButtonAdapter, Gesture
from appliance.clock import local_now, timeout
from appliance.config.schema import Settings
from appliance.conversation import Conversation, Moment, Parts
from appliance.core.effects import Ignored
from appliance.core.events import (
    EchoReported,
    EndRequested,
    Event,
    Fault,
    PlaybackDrained,
    PlaybackStalled,
    Ready,
    ReplyAudible,
    StopRequested,
    TextEntered,
    ToolDone,
    ToolSlow,
    WakeDetected,
)
from appliance.core.machine import step
from appliance.core.state import Gate, Overlap, Policy, State, describe, gate, voice_interrupts
from appliance.errors import ApplianceError
from appliance.indicator.player import Player
from appliance.live.connecting.connector import Connector, Sources
from appliance.live.ports import Turn
from appliance.live.session.callbacks import Callbacks
from appliance.live.session.double_talk import DoubleTalkDetector
from appliance.live.session.machine import SessionMachine
from appliance.live.session.manager import SessionManager
from appliance.live.session.receiver import Dependencies
from appliance.live.session.state import Limits
from appliance.live.transcript import TranscriptRecorder
from appliance.live.usage.pricing import Caps
from appliance.live.usage.recorder import UsageRecorder
from appliance.observers import Observers
from appliance.service.control_socket import ControlSocket
from appliance.service.device_supervisor import DeviceSupervisor
from appliance.service.status import DaemonStatus
from appliance.service.watchdog import Freshness, Watchdog
from appliance.speech import SpeechMonitor
from appliance.status import StatusReporter
from appliance.tools.runner import ToolRunner
from appliance.units import REPLY, UPLINK, Epoch, Pcm, SampleIndex, Seconds
from appliance.wake.ports import Detection
from appliance.wake.runner import WakeWordRunner

START_S: Final = 10.0
"""Time limit for the wake word to load before the microphone starts without it. After as long again, a microphone or
speaker that has neither worked nor failed counts as failed."""
CLOSE_S: Final = 1.0
"""Time limit for the link to close at shutdown."""
DEVICE_DEAD_S: Final = 5.0
"""Silence of a card, without a reported failure, after which the systemd watchdog is withheld."""


def _today() -> date:
    return local_now().date()


def _longest_wait_s(policy: Policy) -> float:
    """Return how old speech may be when it is sent, after waiting for a link and for another if that one is lost."""
    return max(policy.connecting_s, policy.speech_s) + policy.reconnecting_s


class Appliance:
    """The daemon: all parts, joined. Loop thread only."""

    def __init__(self, settings: Settings, chosen: Adapters, observers: Observers) -> None:
        self._settings = settings
        self._chosen = chosen
        self._observers = observers
        self._policy = chosen.echo_handling.policy(settings)
        self._preroll = UPLINK.frames(settings.conversation.preroll_ms / 1000)

        self.ring = MicrophoneBuffer(_longest_wait_s(self._policy) + settings.conversation.preroll_ms / 1000)
        self._guard = EchoGuard(self.ring, lambda: self._echo.later_than(settings.speaker_delay_s))
        self.uplink = Uplink(
            self.ring,
            on_dropped=lambda count: log.event("uplink.dropped", level="warning", samples=count),
            on_all_sent=lambda: self.conversation.all_sent(),  # noqa: PLW0108  it is made below
            clean_from=self._clean_from,
        )
        self._playback = self._make_playback(settings)
        self._tools = ToolRunner(
            chosen.registry,
            lambda call: self._post(ToolDone(call)),
            lambda call: self._post(ToolSlow(call)),
            settings.tools.filler_s,
        )
        self._session = self._make_session_manager(settings)
        self._player = Player(chosen.light)
        sounds = Sounds() if settings.playback.earcons else PhrasesOnly()
        parts = Parts(
            uplink=self.uplink,
            playback=self._playback,
            session=self._session,
            light=self._player,
            tools=self._tools,
            sounds=sounds,
            person_spoke=self._guard.person_spoke,
            recover=self._recover,
            quiet_s=lambda: self._double_talk.quiet_s,
        )
        self.conversation = Conversation(self._policy, parts, self._on_moment)

        self._wake_runner: WakeWordRunner | None = None
        self._double_talk = DoubleTalkDetector(
            None if settings.live.silence_ms is None else settings.live.silence_ms / 1000
        )
        self._speech = SpeechMonitor(
            self.conversation,
            self._session,
            self.uplink,
            self._double_talk,
            self._guard.captured_at,
            observers.on_voice,
        )
        self._capture = CaptureDispatcher(chosen.microphone, self.ring, self.uplink, [self._on_block])
        self._microphone = DeviceSupervisor(Fault.MICROPHONE, self._capture.run, self._post, observers.on_error)
        self._speaker = DeviceSupervisor(Fault.SPEAKER, self._run_speaker, self._post, observers.on_error)
        self._wake = DeviceSupervisor(Fault.WAKE_WORD, self._run_wake, self._post, observers.on_error)
        self._button = DeviceSupervisor(Fault.BUTTON, self._run_button, self._post, observers.on_error)
        self._light = DeviceSupervisor(Fault.LIGHT, self._run_light, self._post, observers.on_error)
        self._enrolment = DeviceSupervisor(Fault.ENROLMENT, self._run_enrolment, self._post, observers.on_error)
        self._devices = (self._microphone, self._speaker, self._wake, self._button, self._light, self._enrolment)
        self._echo = EchoMonitor(chosen.echo_handling.aec, lambda cancelled: self._post(EchoReported(cancelled)))
        self._status = StatusReporter(settings, chosen, self._devices)

    def end_conversation(self) -> None:
        """End the conversation after the current reply."""
        self._post(EndRequested())

    def set_volume(self, gain: float) -> None:
        """Play everything at this gain, 0 to 1, from now on."""
        self._playback.set_volume(gain)

    def send_text(self, text: str) -> str | None:
        """Send a text to the model; begin a conversation if there is none.

        Return None, or the reason if the text cannot be sent now.
        """
        event = TextEntered(text)
        _, effects = step(self.conversation.context, event)
        self._post(event)
        return next((effect.reason for effect in effects if isinstance(effect, Ignored)), None)

    def status(self) -> DaemonStatus:
        """Return how the daemon stands."""
        return self._status.status(self.conversation.context)

    def forget(self) -> None:
        """Start the next conversation without the transcript of this one."""
        self._session.forget()

    def stop(self) -> None:
        """Shut down; `run` returns soon."""
        self._chosen.manager.stopping()
        self._post(StopRequested())

    async def run(self) -> None:
        """Run until `stop`."""
        log_choice(self._chosen.echo_handling, self._settings.conversation.barge_in)
        self.conversation.start()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work, name=name)
                for name, work in (
                    ("audio", self._run_engine()),
                    ("playback", self._playback.run()),
                    ("speaker", self._speaker.run()),
                    ("uplink", self.uplink.run()),
                    ("microphone", self._run_microphone()),
                    ("voice", self._speech.load(self._chosen.voice, in_thread=self._chosen.wake_in_thread)),
                    ("wake", self._wake.run()),
                    ("button", self._button.run()),
                    ("session", self._session.run()),
                    ("tools", self._tools.run()),
                    ("light-player", self._player.run()),
                    ("light", self._light.run()),
                    ("enrolment", self._enrolment.run()),
                    ("control-socket", ControlSocket(self._chosen.runtime, self.send_text, self.status).run()),
                    ("watchdog", self._make_watchdog().run()),
                    ("start", self._become_ready()),
                )
            ]
            await self.conversation.stopped()
            with suppress(TimeoutError):
                async with timeout(CLOSE_S):
                    await self._session.closed()
            for task in tasks:
                task.cancel()

    async def _become_ready(self) -> None:
        for group in ((self._wake,), (self._speaker, self._microphone)):  # the microphone waits for the wake word
            with suppress(TimeoutError):
                async with asyncio.timeout(START_S):
                    for supervisor in group:
                        await supervisor.wait_until_known()
        for supervisor in (self._speaker, self._microphone):
            supervisor.fail_if_unknown()
        self._post(Ready())
        self._chosen.manager.ready()
        log.event("daemon.ready")

    # Devices

    async def _run_engine(self) -> None:
        if self._chosen.engine is not None:
            await self._chosen.engine()

    async def _run_microphone(self) -> None:
        with suppress(TimeoutError):  # a recording must not start before the wake word is loaded
            async with asyncio.timeout(START_S):
                await self._wake.wait_until_known()
        await self._microphone.run()
        log.event("microphone.ended")
        self.stop()

    async def _run_speaker(self) -> None:
        await self._chosen.speaker.run(self._playback)

    async def _run_wake(self) -> None:
        if self._chosen.wake is None:
            return
        load, in_thread = self._chosen.wake, self._chosen.wake_in_thread
        engine = await asyncio.to_thread(load) if in_thread else load()
        self._wake_runner = WakeWordRunner(
            engine,
            self._on_detection,
            self._observers.on_scores,
            self._guard.recent,
            run_in_thread=in_thread,
        )
        self._wake.report_alive()
        try:
            await self._wake_runner.run()
        finally:
            self._wake_runner = None

    async def _run_button(self) -> None:
        if self._chosen.button is None:
            return
        gesture = Gesture(self._settings.conversation.min_hold_ms / 1000)
        adapter = ButtonAdapter(gesture, lambda: self.ring.end, self._preroll, self._post)
        try:
            await self._chosen.button.run(adapter.on_edge, self._button.report_alive)
        finally:
            adapter.close()

    async def _run_light(self) -> None:
        await self._chosen.light.run(self._light.report_alive)

    async def _run_enrolment(self) -> None:
        if self._chosen.enrolment is not None:
            await self._chosen.enrolment(self._enrolment.report_alive)

    def _recover(self) -> None:
        for one in self._devices:
            one.recover()

    # What happens

    def _post(self, event: Event, at: Seconds | None = None) -> None:
        self.conversation.post(event, at)

    def _on_block(self, block: Block) -> None:
        self._guard.captured(block)
        self._microphone.report_alive()
        self._echo.check(self._chosen.echo())
        self._observers.on_block(block)
        self._speech.feed(block)
        if self._wake_runner is not None:
            self._wake_runner.feed(block)

    def _clean_from(self) -> SampleIndex | None:
        """Return the first sample for the uplink after the echo of a reply, as `EchoGuard.clean_from` does."""
        return SampleIndex(0) if voice_interrupts(self.conversation.context) else self._guard.clean_from()

    def _on_detection(self, detection: Detection) -> None:
        speech_from = max(0, detection.end_sample - self._preroll)
        self.conversation.post(WakeDetected(speech_from), self._guard.captured_at(detection.end_sample))
        log.event("wake.detected", model=detection.model, score=round(detection.score, 3))
        self._observers.on_detection(detection)

    def _on_speaker(self, audible_at: Seconds) -> None:
        self._speaker.report_alive()
        self._observers.on_speaker(audible_at)

    def _on_audible(self, epoch: Epoch, at: Seconds) -> None:
        self.conversation.audible(at)
        first = self.conversation.context.overlap is Overlap.POSSIBLE  # a second reply does not extend the overlap
        self._post(ReplyAudible(epoch, first and self._double_talk.begins()))
        if gate(self.conversation.context) is Gate.CLOSED:
            self.uplink.nothing_said()

    def _on_played(self, audible_at: Seconds, samples: Pcm) -> None:
        self._guard.recent.played(audible_at, samples)
        self._echo.played(REPLY.duration(len(samples)))

    def _on_silent(self, at: Seconds) -> None:
        self.conversation.silent(at)

    def _on_moment(self, moment: Moment) -> None:
        if moment.before.state is State.SPEAKING or isinstance(moment.event, ToolSlow):
            self._double_talk.sounded()
        status = describe(moment.after)
        if status != describe(moment.before) and moment.after.state is not State.STOPPED:
            self._chosen.manager.status(status)
        self._status.on_moment(moment)
        self._observers.on_moment(moment)

    def _on_error(self, error: ApplianceError) -> None:
        log.event("link.failed", level="warning", reason=str(error), code=error.code)
        self._observers.on_error(error)

    def _on_said(self, turn: Turn) -> None:
        if self._settings.log.transcripts:
            sources = turn.sources or None
            log.event("conversation.said", speaker=turn.role.value, transcript=turn.text, sources=sources)
        self._observers.on_said(turn)

    # Parts

    def _make_session_manager(self, settings: Settings) -> SessionManager:
        chosen, conversation, caps = self._chosen, settings.conversation, settings.caps
        recorder = TranscriptRecorder()
        sources = Sources(chosen.tokens, chosen.connector, chosen.limitations)
        dependencies = Dependencies(
            Connector(sources, recorder.transcript, memory_s=conversation.memory_s, today=_today),
            SessionMachine(Limits(reply_s=conversation.answer_s, stuck_s=conversation.thinking_s)),
            UsageRecorder(Caps(caps.session, caps.day, caps.month), chosen.usage, _today),
            recorder,
        )
        callbacks = Callbacks(self._post, self._tools.offer, self._tools.forget, self._on_said, self._on_error)
        return SessionManager(
            dependencies,
            self.uplink,
            self._playback,
            callbacks,
            report_truncation=settings.live.tell_what_was_heard,
        )

    def _make_playback(self, settings: Settings) -> Playback:
        reports = Reports(
            on_audible=self._on_audible,
            on_played=self._on_played,
            on_drained=lambda epoch: self._post(PlaybackDrained(epoch)),
            on_stalled=lambda epoch: self._post(PlaybackStalled(epoch)),
            on_silent=self._on_silent,
            on_connected=self._on_speaker,
        )
        return Playback(
            reports,
            ring_s=settings.playback.ring_s,
            stall_s=settings.playback.stall_s,
            volume=settings.speaker.volume,
            extra_delay_s=settings.speaker_delay_s,
        )

    def _make_watchdog(self) -> Watchdog:
        """Watch devices that may hang silently; one that reports a failure is a fault instead."""
        microphone = Freshness(
            "microphone", lambda: self._last(Fault.MICROPHONE, self._capture.last_block_at), DEVICE_DEAD_S
        )
        speaker = Freshness("speaker", lambda: self._last(Fault.SPEAKER, self._playback.alive_at), DEVICE_DEAD_S)
        return Watchdog(self._chosen.manager, [microphone, speaker])

    def _last(self, fault: Fault, at: Seconds | None) -> Seconds | None:
        return None if fault in self.conversation.context.faults else at
