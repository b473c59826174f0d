"""One session of the Live API: the person's turns, the model's turns, interruption, the end."""

import asyncio
import json
import logging
from typing import Final

from appliance.simulator.detection import Activity, Edge, SpeechDetector
from appliance.simulator.options import Farewell
from appliance.simulator.record import MessageRecord, TurnRecord
from appliance.simulator.replies import Reply
from appliance.simulator.service import Service
from appliance.simulator.setup import Setup
from appliance.simulator.tokens import Token
from appliance.simulator.turns import ModelTurn, Transcription
from appliance.simulator.websocket import WebSocket
from appliance.simulator.wire import (
    INTERNAL_ERROR,
    ContractError,
    Message,
    invalid,
    kind,
    parse,
    samples,
    section,
    server_content,
)
from appliance.units import UPLINK, Pcm, Seconds

_LOG: Final = logging.getLogger(__name__)


class Session:
    """A connection whose set-up was accepted. One task receives; the model's turn is another."""

    def __init__(self, socket: WebSocket, service: Service, setup: Setup, token: Token | None, position: int) -> None:
        self._socket = socket
        self._service = service
        self._setup = setup
        self._token = token
        self._position = position
        """In the script, of the next reply."""
        self._detector = SpeechDetector(setup.detection) if setup.detection else None
        self._window_open = False
        """Between activityStart and activityEnd."""
        self._turn: ModelTurn | None = None
        """The model's; None once its end is sent."""
        self._speaking: asyncio.Task[None] | None = None
        self._tasks = asyncio.TaskGroup()
        self._opened_at = asyncio.get_running_loop().time()
        self.record = service.begin_record(setup)

    async def run(self) -> None:
        """Hold the session until the connection has ended."""
        self._note("client", "setup")
        async with self._tasks:
            options = self._service.options
            await asyncio.sleep(options.link_delay_s)
            await self._send({"setupComplete": {}})
            farewell = self._tasks.create_task(self._end_by(options.farewell)) if options.farewell else None
            await self._receive()
            for task in (farewell, self._speaking):
                if task is not None:
                    task.cancel()

    async def _receive(self) -> None:
        try:
            while (payload := await self._socket.receive()) is not None:
                await self._take(payload)
        except ContractError as error:
            _LOG.info("session %d: closed with %d: %s", self.record.number, error.code, error.reason)
            await self._socket.close(error.code, error.reason)
        while await self._socket.receive() is not None:
            pass  # what comes after the close frame does not count

    async def _end_by(self, farewell: Farewell) -> None:
        await asyncio.sleep(farewell.after_s)
        await self._send({"goAway": {"timeLeft": f"{farewell.time_left_s:g}s"}})
        await asyncio.sleep(farewell.time_left_s)
        await self._socket.close(INTERNAL_ERROR, "Deadline expired before operation could complete.")

    async def _take(self, payload: bytes) -> None:
        """Act on one message of the client; raises ContractError."""
        if self._token is not None:
            self._token.check(Seconds(asyncio.get_running_loop().time()))
        name, content = parse(payload)
        self._note("client", kind(name, content))
        match name:
            case "realtimeInput":
                for field in content:
                    await self._take_realtime(field, content)
            case "clientContent":
                if content.get("turnComplete"):
                    await self._take_text()
            case "toolResponse":
                self._take_answers(content)
            case "contextUpdate":
                pass  # it changes what the model knows; the script does not
            case _:
                raise invalid(f'Unknown name "{name}".')

    async def _take_realtime(self, field: str, content: Message) -> None:
        match field:
            case "audio":
                await self._take_audio(samples(section(content, field)))
            case "activityStart" | "activityEnd":
                await self._take_activity(field)
            case "audioStreamEnd":
                if self._detector is None:
                    raise invalid("audioStreamEnd needs automatic activity detection.")
                await self._follow(self._detector.end_of_stream())
            case "text":
                await self._take_text()
            case "video":
                pass  # the script does not look
            case _:
                raise invalid(f"Unknown name \"{field}\" at 'realtime_input'.")

    async def _take_audio(self, pcm: Pcm) -> None:
        if self._detector is not None:
            self.record.take(pcm)
            await self._follow(self._detector.feed(pcm))
        elif self._window_open:
            self.record.take(pcm)
        else:
            self.record.outside_samples += len(pcm)

    async def _take_activity(self, field: str) -> None:
        if self._detector is not None:
            raise invalid("Explicit activity control is not supported when automatic activity detection is enabled.")
        if self._window_open is (field == "activityStart"):
            raise invalid(f"{field} out of turn.")
        self._window_open = field == "activityStart"
        if self._window_open:
            await self._interrupt()
        else:
            await self._begin_turn()

    async def _take_text(self) -> None:
        await self._interrupt()
        await self._begin_turn()

    def _take_answers(self, tool_response: Message) -> None:
        answers = tool_response.get("functionResponses")
        if not isinstance(answers, list) or not all(
            isinstance(one, dict) and isinstance(one.get("id"), str) for one in answers
        ):
            raise invalid("functionResponses must have ids.")
        if self._turn is not None:
            self._turn.answer(one["id"] for one in answers)

    async def _follow(self, edges: list[Edge]) -> None:
        """Act on what the detector has found."""
        for edge in edges:
            activity = edge.activity.value
            self.record.edges.append((activity, edge.at))
            _LOG.info("session %d: %s at %.2f s", self.record.number, activity, UPLINK.duration(edge.at))
            await self._send({"voiceActivity": {"type": activity, "audioOffset": f"{UPLINK.duration(edge.at):.3f}s"}})
            if edge.activity is Activity.START:
                await self._interrupt()
            else:
                await self._begin_turn()

    async def _begin_turn(self) -> None:
        """Let the model speak; what is left of the turn before is only the sending of a handle."""
        if self._speaking is not None:
            await asyncio.wait([self._speaking])
        reply, voice = self._service.reply(self._position)
        turn = TurnRecord(reply=self._position, at_sample=self.record.received_samples)
        self.record.turns.append(turn)
        self._position += 1
        transcription = Transcription.ON if self._setup.output_transcription else Transcription.OFF
        self._turn = ModelTurn(reply, voice, transcription, turn, self._send)
        self._speaking = self._tasks.create_task(self._speak(self._turn, reply))

    async def _speak(self, turn: ModelTurn, reply: Reply) -> None:
        if self._setup.input_transcription:
            await self._send(server_content(inputTranscription={"text": f" {reply.heard or '…'}"}))
        await asyncio.sleep(self._service.options.thinking_s)
        await turn.run(self._service.options.speed)
        self._turn = None
        await self._send(turn.end())
        _LOG.info("session %d: turn complete", self.record.number)
        await self._offer_handle()

    async def _interrupt(self) -> None:
        """Discard what the model is generating or has not been able to play yet."""
        turn, speaking = self._turn, self._speaking
        if turn is None or speaking is None:
            return
        self._turn = None
        speaking.cancel()
        await asyncio.wait([speaking])
        self.record.turns[-1].interrupted = True
        _LOG.info("session %d: interrupted", self.record.number)
        if turn.pending:
            await self._send({"toolCallCancellation": {"ids": sorted(turn.pending)}})
        await self._send(server_content(interrupted=True))
        await self._send(turn.end())
        await self._offer_handle()

    async def _offer_handle(self) -> None:
        if self._setup.resumption:
            handle = self._service.new_handle(self._position)
            await self._send({"sessionResumptionUpdate": {"newHandle": handle, "resumable": True}})

    async def _send(self, message: Message) -> None:
        self._note("service", *(kind(name, content) for name, content in message.items()))
        await self._socket.send(json.dumps(message).encode())

    def _note(self, sender: str, *kinds: str) -> None:
        at_s = asyncio.get_running_loop().time() - self._opened_at
        self.record.note(MessageRecord(round(at_s, 4), sender, " ".join(kinds)))
