"""One connection to the Gemini Live API through google-genai, public interface only.

With `live/setup.py` and `live/translate.py` the only module of the device that knows the SDK. It neither retries nor
resumes: that is the keeper's.
"""

import asyncio
import logging
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any, Final, cast

from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession

from appliance import log
from appliance.clock import timeout
from appliance.config.schema import LiveSettings
from appliance.core.state import Mode
from appliance.live.gemini.delivery import DeliveryTracker
from appliance.live.gemini.setup import config_hash, live_config, present
from appliance.live.gemini.translate import FOREIGN, Phase, classify, translate
from appliance.live.gemini.transport import ConnectionMonitor
from appliance.live.messages import LinkMessage
from appliance.live.model_capabilities import Capabilities, Feature, capabilities
from appliance.live.ports import (
    HistorySeed,
    LiveToken,
    OptionalFeature,
    Request,
    SeedMethod,
    ToolDeclaration,
    ToolResult,
    Traffic,
)
from appliance.net.tls import client_context
from appliance.units import UPLINK, Seconds

GOOGLE: Final = "https://generativelanguage.googleapis.com"
UPLINK_MIME_TYPE: Final = f"audio/pcm;rate={UPLINK.rate_hz}"
MAX_STRANGE: Final = 20
"""So many messages in a row that the SDK cannot read end the link."""

UNREADABLE: Final = (TypeError, ValueError, AttributeError, RecursionError)
"""Exceptions that the SDK raises for a message that it cannot read; the connection lives on."""
_CLOSE_S: Final = 1.2
"""Longer than websockets' own ``close_timeout``: only a peer that has stopped reading needs it."""
_WEBSOCKET: Final[dict[str, Any]] = {
    "open_timeout": 4,
    "close_timeout": 1,
    # Pings keep the path through a router alive. The service answers them 8 to 30 s late at times: never judge by it.
    "ping_interval": 20,
    "ping_timeout": None,
    "max_size": 16 * 2**20,
    # Messages that wait to be read, each as long as that: more than these are left with the kernel.
    "max_queue": 4,
    # Base64 of speech hardly shrinks, and deflating it costs more than all else that is done with a chunk.
    "compression": None,
    # The environment has no say in where the token goes.
    "proxy": None,
}


class GeminiConnection:
    """One open connection; implements `live.ports.Link`."""

    def __init__(self, session: AsyncSession, wires: ConnectionMonitor, known: Capabilities) -> None:
        self._session = session
        self._known = known
        self._wires = wires
        self._delivery = DeliveryTracker()
        self._sent = 0
        """Messages since the set-up."""
        self.strange = 0
        """Messages that the SDK could not read."""
        self.malformed = 0
        """Parts of other messages that could not be used; the first is logged."""

    async def messages(self) -> AsyncGenerator[LinkMessage, None]:
        """Yield what the service sends, in order, turn after turn; ends only by LinkError."""
        in_a_row = 0
        while True:
            try:
                message = await _receive(self._session)
            except UNREADABLE as error:
                self.strange += 1
                in_a_row += 1
                if in_a_row >= MAX_STRANGE:
                    raise classify(error, Phase.OPEN) from None
                continue
            except FOREIGN as error:
                raise classify(error, Phase.OPEN) from None
            in_a_row = 0
            for item in translate(message, self._on_malformed):
                yield item

    def _on_malformed(self, what: str) -> None:
        if not self.malformed:
            log.event("link.malformed", level="warning", sent=what)
        self.malformed += 1

    async def send_audio(self, pcm: bytes) -> None:
        """Send 16 kHz mono s16le samples; raises LinkError."""
        before = self._wires.written()
        await self._send(audio=types.Blob(data=pcm, mime_type=UPLINK_MIME_TYPE))
        # A connection that has just broken takes everything, and nothing of it is to be seen.
        self._delivery.sent(len(pcm) // 2, max(self._wires.written(), before + len(pcm) * 4 // 3), self._sent)

    async def send_activity_start(self) -> None:
        """Begin a push-to-talk turn; raises LinkError."""
        await self._send(activity_start=types.ActivityStart())

    async def send_activity_end(self) -> None:
        """End a push-to-talk turn; raises LinkError."""
        await self._send(activity_end=types.ActivityEnd())

    async def send_audio_stream_end(self) -> None:
        """Tell that the stream pauses; raises LinkError."""
        await self._send(audio_stream_end=True)

    async def send_text(self, text: str) -> None:
        """Say something to the model in writing; raises LinkError."""
        await self._send(text=text)

    async def send_tool_result(self, result: ToolResult) -> None:
        """Answer a tool call; raises LinkError."""
        when = result.scheduling if self._known.has(Feature.TOOL_SCHEDULING) else None
        answer = types.FunctionResponse(
            id=result.call,
            name=result.name,
            response=dict(result.response),
            scheduling=types.FunctionResponseScheduling(when.value) if when else None,
        )
        self._sent += 1
        with _classified(Phase.OPEN):
            await self._session.send_tool_response(function_responses=answer)

    async def send_seed(self, seed: HistorySeed) -> None:
        """Tell the model what it is not to answer; raises LinkError."""
        turns: list[types.ContentOrDict] = [
            types.Content(role=turn.role.value, parts=[types.Part.from_text(text=turn.text)]) for turn in seed.turns
        ]
        self._sent += 1
        with _classified(Phase.OPEN):
            await self._session.send_client_content(
                turns=turns, turn_complete=seed.method is SeedMethod.INITIAL_HISTORY
            )

    def traffic(self) -> Traffic | None:
        """Return what is on its way, as the kernel knows it; None once the connection is gone."""
        return self._wires.traffic()

    def undelivered(self) -> int:
        """Return how many of the samples sent last the other end has not acknowledged; 0 where that is unknown."""
        acknowledged = self._wires.acknowledged()
        return 0 if acknowledged is None else self._delivery.undelivered(acknowledged)

    def unconsumed(self, consumed: int | None) -> int:
        """Return how many of the samples sent last the session of a handle that has just come need not know."""
        return self.undelivered() if consumed is None else self._delivery.unconsumed(consumed)

    async def _send(self, **realtime_input: Any) -> None:  # noqa: ANN401  whatever the SDK takes
        self._sent += 1
        with _classified(Phase.OPEN):
            await self._session.send_realtime_input(**realtime_input)


class GeminiConnector:
    """Opens links; implements `live.ports.LinkConnector`.

    The TLS context is built once: it costs more than all the rest of opening a link.

    Raises:
        ConfigurationError: ``live.ca_file`` cannot be used.
    """

    def __init__(self, settings: LiveSettings, declarations: Sequence[ToolDeclaration]) -> None:
        self._settings = settings
        self._declarations = tuple(declarations)
        self._tls = client_context(settings.ca_file, "live.ca_file")
        _quieten()

    @asynccontextmanager
    async def open(self, token: LiveToken, request: Request) -> AsyncIterator[GeminiConnection]:
        """Open a link; entering returns once the service has answered the set-up, leaving closes it within 2 s.

        Raises:
            LinkError: It cannot be opened, or not within ``live.setup_timeout_s``.
        """
        config = live_config(self._settings, token.model, request, self._declarations, token.locks)
        wires = ConnectionMonitor()
        async with AsyncExitStack() as stack:
            with _classified(Phase.OPENING):
                async with asyncio.timeout(self._settings.setup_timeout_s):
                    client = await stack.enter_async_context(self._client(token, wires))
                    connection = client.aio.live.connect(model=token.model, config=config)
                    session = await stack.enter_async_context(connection)
                    stack.push_async_callback(_hang_up, session)
                    if session.setup_complete is None:
                        await _set_up(session)
            yield GeminiConnection(session, wires, capabilities(token.model))

    def optional_features(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        """Return the optional parts that such a set-up has."""
        return present(live_config(self._settings, model, request, self._declarations))

    def config_hash(self, model: str) -> str:
        """Name what a session keeps of its set-up when it is resumed."""
        return config_hash(self._settings, model, self._declarations)

    async def warm_up(self) -> None:
        """Do once what costs only the first time (models are compiled at first use), so that no conversation waits."""
        never = Seconds(0.0)
        token = LiveToken("auth_tokens/none", "none", "v1alpha", None, never, never, never)
        self.optional_features(token.model, Request(Mode.HANDS_FREE))
        part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAA="}}
        message = {"serverContent": {"modelTurn": {"parts": [part]}}}
        list(translate(types.LiveServerMessage.model_validate(message)))
        async with self._client(token, ConnectionMonitor()):
            pass

    @asynccontextmanager
    async def _client(self, token: LiveToken, wires: ConnectionMonitor) -> AsyncIterator[genai.Client]:
        """Yield a client for one token: the SDK chooses path and headers by it.

        Everything that the SDK would otherwise take from the environment is said here, the address first of all:
        ``GOOGLE_GEMINI_BASE_URL`` would send the token elsewhere.
        """
        client = genai.Client(
            enterprise=False,
            api_key=token.value,
            http_options=types.HttpOptions(
                base_url=(token.base_url or GOOGLE).rstrip("/"),
                api_version=token.api_version,
                client_args={"verify": self._tls, "trust_env": False},
                async_client_args={
                    "verify": self._tls,
                    "trust_env": False,
                    "ssl": self._tls,
                    "create_connection": wires.connection,
                    **_WEBSOCKET,
                },
            ),
        )
        try:
            yield client
        finally:
            await client.aio.aclose()
            client.close()


@contextmanager
def _classified(phase: Phase) -> Iterator[None]:
    """Translate what the SDK raises; its own text is left behind, as it may hold a token or what was said."""
    try:
        yield
    except FOREIGN as error:
        raise classify(error, phase) from None


async def _receive(session: AsyncSession) -> types.LiveServerMessage:
    """Return the next message.

    The SDK's iterator ends with each turn and with each message that it cannot read, so it is used for one message
    and entered anew for the next; nothing is lost in between.
    """
    received = cast("AsyncGenerator[types.LiveServerMessage, None]", session.receive())
    async with aclosing(received):
        return await anext(received)


async def _set_up(session: AsyncSession) -> None:
    """Wait for the answer to the set-up, which the SDK expects first; nothing that comes before it matters yet."""
    log.event("link.early-message", level="warning")
    while True:
        with suppress(*UNREADABLE):
            if (await _receive(session)).setup_complete is not None:
                return


async def _hang_up(session: AsyncSession) -> None:
    """Close the connection; never raises.

    A peer that has stopped reading blocks the first attempt at the close frame; the second finds the connection
    closing and its time over, and aborts it.
    """
    with suppress(*FOREIGN):
        async with timeout(_CLOSE_S):
            await session.close()
    with suppress(*FOREIGN):
        await session.close()


def _quieten() -> None:
    """Keep secrets out of the log and the SDK's opinions out of the way, for the whole process.

    At DEBUG, websockets logs the authorization header and every frame. Ephemeral tokens count as experimental, and an
    unknown enum value is only worth a warning: both are known, and a warning filter cannot be kept to one task.
    """
    for name in ("websockets", "httpx2", "google_genai"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
    warnings.filterwarnings("ignore", category=errors.ExperimentalWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"google\.genai\.")
