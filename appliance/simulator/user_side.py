"""The person's side of a session: set-up answered, audio, presses, words; where turns begin and end."""

import asyncio
import logging
from typing import Final

import numpy as np

from appliance.simulator.contract.messages import (
    ContractError,
    Message,
    invalid,
    kind,
    parse,
    section,
    setup_complete,
    voice_activity,
)
from appliance.simulator.contract.models import History
from appliance.simulator.model.resumption import Snapshot
from appliance.simulator.model.speech_detector import Activity, Edge, SpeechDetector
from appliance.simulator.model.turn_plan import Words
from appliance.simulator.model_side import ModelSide
from appliance.simulator.options import VoiceActivity
from appliance.simulator.scenario.steps import Moment
from appliance.simulator.session_context import SessionContext
from appliance.simulator.user_audio import UserAudio
from appliance.units import UPLINK, Pcm, Seconds

_LOG: Final = logging.getLogger(__name__)


class UserSide:
    """A connection whose set-up was accepted. One task receives; each of the model's turns is another."""

    def __init__(self, scene: SessionContext) -> None:
        self._scene = scene
        self._transport = scene.stage.transport
        self._record = scene.record
        self._setup = scene.setup
        self._detector = SpeechDetector(self._setup.detection) if self._setup.detection else None
        told = scene.service.options.voice_activity
        by_model = told is VoiceActivity.BY_MODEL and self._setup.rules.voice_activity
        self._tells_activity = by_model or told is VoiceActivity.SENT
        self._window_open = False
        """Between activityStart and activityEnd."""
        self._intake = UserAudio()
        self._history_open = self._setup.initial_history
        """Take clientContent as history: nobody answers it."""
        self._talk = ModelSide(scene, scene.admission.snapshot or Snapshot(self._record.session))
        scene.stage.talk = self._talk

    async def run(self) -> None:
        """Hold the session until the connection has ended."""
        self._scene.note("client", "setup")
        delay_s = self._scene.stage.setup_delay_s
        if delay_s is None:
            await self._ignore()
            return
        await asyncio.sleep(self._scene.service.options.link_delay_s + delay_s)
        await self._scene.send(setup_complete())
        self._scene.reached(Moment.READY)
        offering = self._scene.tasks.create_task(self._talk.offer_handles())
        try:
            while (payload := await self._transport.receive()) is not None:
                await self._take(payload)
        except ContractError as error:
            _LOG.info("session %d: closed with %d: %s", self._record.number, error.code, error.reason)
            await self._transport.close(error.code, error.reason)
        offering.cancel()
        await self._ignore()
        self._talk.stop()

    async def _ignore(self) -> None:
        """Wait for the end; what comes until then does not count."""
        while await self._transport.receive() is not None:
            pass

    async def _take(self, payload: bytes) -> None:
        """Act on one message of the client; raises ContractError."""
        token = self._scene.admission.token
        if token is not None:
            token.check(Seconds(asyncio.get_running_loop().time()))
        name, content = parse(payload)
        self._scene.note("client", kind(name, content))
        self._history_open = self._history_open and name == "clientContent"
        match name:
            case "realtimeInput":
                for field in content:
                    await self._take_realtime(field, content)
            case "clientContent":
                await self._take_content(content)
            case "toolResponse":
                await self._talk.take_results(content.get("functionResponses"))
            case "contextUpdate":
                pass  # it changes what the model knows; the script does not
            case _:
                raise invalid(f'Unknown name "{name}".')

    async def _take_realtime(self, field: str, content: Message) -> None:
        match field:
            case "audio":
                await self._take_audio(self._intake.take(section(content, field)))
            case "activityStart" | "activityEnd":
                await self._take_activity(field)
            case "audioStreamEnd":
                if self._detector is None:
                    raise invalid("audioStreamEnd needs automatic activity detection.")
                await self._take_audio(self._intake.end())
                if self._setup.rules.stream_end:
                    await self._follow(self._detector.end_of_stream())
            case "text":
                await self._take_text()
            case "video":
                pass  # the script does not look
            case _:
                raise invalid(f"Unknown name \"{field}\" at 'realtime_input'.")

    async def _take_content(self, content: Message) -> None:
        """Words without audio: some models take them as the first message only."""
        if self._setup.rules.history is History.FIRST and not self._history_open:
            raise invalid("clientContent is only supported for the initial history with this model.")
        if self._history_open:
            self._history_open = not content.get("turnComplete")
        elif content.get("turnComplete"):
            await self._take_text()

    async def _take_audio(self, pcm: Pcm) -> None:
        if self._detector is not None:
            self._record.take(pcm)
            deaf = asyncio.get_running_loop().time() < self._scene.stage.deaf_until
            await self._follow(self._detector.feed(np.zeros_like(pcm) if deaf else pcm))
        elif self._window_open:
            self._record.take(pcm)
        else:
            self._record.outside_samples += len(pcm)

    async def _take_activity(self, field: str) -> None:
        if self._detector is not None:
            raise invalid("Explicit activity control is not supported when automatic activity detection is enabled.")
        if self._window_open is (field == "activityStart"):
            raise invalid(f"{field} out of turn.")
        await self._take_audio(self._intake.end())
        self._window_open = field == "activityStart"
        if self._window_open:
            await self._begin_speech()
        else:
            self._talk.ask()

    async def _take_text(self) -> None:
        await self._talk.interrupt()
        self._talk.ask(Words.TYPED)

    async def _follow(self, edges: list[Edge]) -> None:
        """Act on what the detector has found."""
        for edge in edges:
            activity, offset_s = edge.activity.value, UPLINK.duration(edge.at)
            self._record.edges.append((activity, edge.at))
            _LOG.info("session %d: %s at %.2f s", self._record.number, activity, offset_s)
            if self._tells_activity:
                await self._scene.send(voice_activity(activity, offset_s))
            if edge.activity is Activity.START:
                await self._begin_speech()
            else:
                self._talk.ask()

    async def _begin_speech(self) -> None:
        self._scene.reached(Moment.SPEECH)
        if self._setup.interruptible:
            await self._talk.interrupt()
        await self._talk.hear()
