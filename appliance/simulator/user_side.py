"""The person's side of a session: the client's messages, and where the person's turns begin and end."""

import asyncio
import logging
from typing import Final

import numpy as np

from appliance.audio.resample import Resampler
from appliance.clock import loop_time
from appliance.simulator.contract.messages import (
    ContractError,
    Message,
    invalid,
    kind,
    parse,
    samples,
    section,
    setup_complete,
    voice_activity,
)
from appliance.simulator.model.resumption import Snapshot
from appliance.simulator.model.speech_detector import Activity, ActivityDetector, Edge, SpeechDetector
from appliance.simulator.model.voiced_activity import VoicedActivityDetector
from appliance.simulator.model_side import ModelSide
from appliance.simulator.options import VoiceActivity
from appliance.simulator.scenario.steps import TriggerPoint
from appliance.simulator.session_context import SessionContext
from appliance.units import UPLINK, AudioFormat, Hz, Pcm

_LOG: Final = logging.getLogger(__name__)


class _UserAudio:
    """Converts the client's audio, at any rate, to 16 kHz; a change of rate discards what was not converted yet."""

    def __init__(self) -> None:
        self._rate_hz = UPLINK.rate_hz
        self._resampler = _resampler(self._rate_hz)

    def take(self, blob: Message) -> Pcm:
        """Return the samples that one more piece completes, 16 kHz mono; raises ContractError."""
        pcm, rate_hz = samples(blob)
        if rate_hz != self._rate_hz:
            self._rate_hz = Hz(rate_hz)
            self._resampler = _resampler(self._rate_hz)
        return self._resampler.feed(pcm)

    def finish(self) -> Pcm:
        """Return the last samples of the stream, which pauses here."""
        rest = self._resampler.finish()
        self._resampler = _resampler(self._rate_hz)
        return rest


class UserSide:
    """A connection whose set-up was accepted. One task receives; each of the model's turns is another."""

    def __init__(self, session: SessionContext) -> None:
        self._session = session
        self._transport = session.connection.transport
        self._record = session.record
        self._setup = session.setup
        self._detector = _activity_detector(session)
        mode = session.service.options.voice_activity
        by_model = mode is VoiceActivity.BY_MODEL and self._setup.rules.voice_activity
        self._sends_voice_activity = by_model or mode is VoiceActivity.SENT
        self._activity_open = False
        """Between activityStart and activityEnd."""
        self._audio = _UserAudio()
        self._history_open = self._setup.initial_history
        """clientContent is history: it gets no reply."""
        self._model = ModelSide(session, session.admission.snapshot or Snapshot(self._record.session))
        session.connection.session = self._model

    async def run(self) -> None:
        """Run the session until the connection has ended."""
        self._session.note("client", "setup")
        delay_s = self._session.connection.setup_delay_s
        if delay_s is None:
            await self._ignore_messages()
            return
        await asyncio.sleep(self._session.service.options.link_delay_s + delay_s)
        await self._session.send(setup_complete())
        self._session.scenario.start(TriggerPoint.READY)
        offering = self._session.tasks.create_task(self._model.offer_handles())
        try:
            while (payload := await self._transport.receive()) is not None:
                await self._handle_message(payload)
        except ContractError as error:
            _LOG.info("session %d: closed with %d: %s", self._record.number, error.code, error.reason)
            await self._transport.close(error.code, error.reason)
        offering.cancel()
        await self._ignore_messages()
        self._model.stop()

    async def _ignore_messages(self) -> None:
        """Read until the connection has ended."""
        while await self._transport.receive() is not None:
            pass

    async def _handle_message(self, payload: bytes) -> None:
        """Act on one message of the client; raises ContractError."""
        token = self._session.admission.token
        if token is not None:
            token.check(loop_time())
        name, content = parse(payload)
        self._session.note("client", kind(name, content))
        self._history_open = self._history_open and name == "clientContent"
        match name:
            case "realtimeInput":
                for field in content:
                    await self._handle_realtime(field, content)
            case "clientContent":
                await self._handle_content(content)
            case "toolResponse":
                await self._model.take_results(content.get("functionResponses"))
            case "contextUpdate":
                pass  # the scripted replies do not depend on it
            case _:
                raise invalid(f'Unknown name "{name}".')

    async def _handle_realtime(self, field: str, content: Message) -> None:
        match field:
            case "audio":
                await self._hear(self._audio.take(section(content, field)))
            case "activityStart" | "activityEnd":
                await self._handle_activity(field)
            case "audioStreamEnd":
                if self._detector is None:
                    raise invalid("audioStreamEnd needs automatic activity detection.")
                await self._hear(self._audio.finish())
                if self._setup.rules.stream_end:
                    await self._apply_edges(self._detector.end_of_stream())
            case "text":
                await self._ask_in_text()
            case "video":
                pass  # the scripted replies do not depend on it
            case _:
                raise invalid(f"Unknown name \"{field}\" at 'realtime_input'.")

    async def _handle_content(self, content: Message) -> None:
        """Take text; some models accept it as the first message only."""
        if not self._setup.rules.late_content and not self._history_open:
            raise invalid("clientContent is only supported for the initial history with this model.")
        if self._history_open:
            self._history_open = not content.get("turnComplete")
        elif content.get("turnComplete"):
            await self._ask_in_text()

    async def _hear(self, pcm: Pcm) -> None:
        if self._detector is not None:
            self._record.take(pcm)
            deaf = loop_time() < self._session.connection.deaf_until
            await self._apply_edges(self._detector.feed(np.zeros_like(pcm) if deaf else pcm))
        elif self._activity_open:
            self._record.take(pcm)
        else:
            self._record.outside_samples += len(pcm)

    async def _handle_activity(self, field: str) -> None:
        if self._detector is not None:
            raise invalid("Explicit activity control is not supported when automatic activity detection is enabled.")
        if self._activity_open is (field == "activityStart"):
            raise invalid(f"{field} out of turn.")
        await self._hear(self._audio.finish())
        self._activity_open = field == "activityStart"
        if self._activity_open:
            await self._begin_speech()
        else:
            self._model.request_turn()

    async def _ask_in_text(self) -> None:
        await self._model.interrupt()
        self._model.request_turn(typed=True)

    async def _apply_edges(self, edges: list[Edge]) -> None:
        """Begin and end the person's speech where the detector has found it."""
        for edge in edges:
            activity, offset_s = edge.activity.value, UPLINK.duration(edge.at)
            self._record.edges.append((activity, edge.at))
            _LOG.info("session %d: %s at %.2f s", self._record.number, activity, offset_s)
            if self._sends_voice_activity:
                await self._session.send(voice_activity(activity, offset_s))
            if edge.activity is Activity.START:
                await self._begin_speech()
            else:
                self._model.request_turn()

    async def _begin_speech(self) -> None:
        self._session.scenario.start(TriggerPoint.SPEECH)
        if self._setup.interruptible:
            await self._model.interrupt()
        await self._model.transcribe_early()


def _activity_detector(session: SessionContext) -> ActivityDetector | None:
    """Return what finds the person's speech; None where the client says when they speak."""
    settings, hear = session.setup.detection, session.service.options.voice_detector
    if settings is None:
        return None
    return SpeechDetector(settings) if hear is None else VoicedActivityDetector(settings, hear())


def _resampler(rate_hz: Hz) -> Resampler:
    return Resampler(AudioFormat(rate_hz, 1), UPLINK.rate_hz)
