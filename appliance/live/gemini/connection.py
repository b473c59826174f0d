"""One connection to the Gemini Live API through google-genai, public interface only.

With `setup` and `translate` the only module of the device that knows the SDK. It neither retries nor resumes.
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
from appliance.live.gemini.setup import config_hash, live_config, optional_features
from appliance.live.gemini.translate import SDK_ERRORS, Phase, link_error, translate
from appliance.live.gemini.transport import ConnectionMonitor, DeliveryTracker
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

GOOGLE_URL: Final = "https://generativelanguage.googleapis.com"
UPLINK_MIME_TYPE: Final = f"audio/pcm;rate={UPLINK.rate_hz}"
MAX_UNREADABLE: Final = 20
"""Consecutive messages that the SDK cannot read before the link is given up."""
UNREADABLE: Final = (TypeError, ValueError, AttributeError, RecursionError)
"""Exceptions that the SDK raises for a message that it cannot read; the connection stays open."""
_CLOSE_S: Final = 1.2
"""Longer than websockets' own ``close_timeout``; only reached if the peer has stopped reading."""
_WEBSOCKET: Final[dict[str, Any]] = {
    "open_timeout": 4,
    "close_timeout": 1,
    # Pings keep the path through a router open. The service sometimes answers 8 to 30 s late: do not wait for pongs.
    "ping_interval": 20,
    "ping_timeout": None,
    "max_size": 16 * 2**20,
    # Unread messages of up to that size; the kernel holds the rest.
    "max_queue": 4,
    # Base64 of speech hardly shrinks, and deflating it costs more than everything else done with a chunk.
    "compression": None,
    # Environment variables must not redirect the token.
    "proxy": None,
}


class GeminiConnection:
    """One open connection. Implements `live.ports.Link`."""

    def __init__(self, session: AsyncSession, monitor: ConnectionMonitor, known: Capabilities) -> None:
        self._session = session
        self._capabilities = known
        self._monitor = monitor
        self._delivery = DeliveryTracker()
        self._sent = 0
        """Messages since the set-up."""
        self.malformed = 0
        """Unusable parts of messages; the first is logged."""

    async def messages(self) -> AsyncGenerator[LinkMessage, None]:
        """Yield the service's messages in order, across turns; ends only by LinkError."""
        unreadable = 0
        while True:
            try:
                message = await _receive(self._session)
            except UNREADABLE as error:
                unreadable += 1
                if unreadable >= MAX_UNREADABLE:
                    raise link_error(error, Phase.OPEN) from None
                continue
            except SDK_ERRORS as error:
                raise link_error(error, Phase.OPEN) from None
            unreadable = 0
            for item in translate(message, self._on_malformed):
                yield item

    def _on_malformed(self, detail: str) -> None:
        if not self.malformed:
            log.event("link.malformed", level="warning", sent=detail)
        self.malformed += 1

    async def send_audio(self, pcm: bytes) -> None:
        """Send 16 kHz mono s16le samples; raises LinkError."""
        before = self._monitor.written()
        await self._send(audio=types.Blob(data=pcm, mime_type=UPLINK_MIME_TYPE))
        # A connection that has just broken accepts everything, and the count does not grow.
        self._delivery.sent(len(pcm) // 2, max(self._monitor.written(), before + len(pcm) * 4 // 3), self._sent)

    async def send_activity_start(self) -> None:
        """Begin a push-to-talk turn; raises LinkError."""
        await self._send(activity_start=types.ActivityStart())

    async def send_activity_end(self) -> None:
        """End a push-to-talk turn; raises LinkError."""
        await self._send(activity_end=types.ActivityEnd())

    async def send_audio_stream_end(self) -> None:
        """Announce a pause of the stream; raises LinkError."""
        await self._send(audio_stream_end=True)

    async def send_text(self, text: str) -> None:
        """Send text as a turn of the person; raises LinkError."""
        await self._send(text=text)

    async def send_tool_result(self, result: ToolResult) -> None:
        """Answer a tool call; raises LinkError."""
        scheduling = result.scheduling if self._capabilities.has(Feature.TOOL_SCHEDULING) else None
        response = types.FunctionResponse(
            id=result.call,
            name=result.name,
            response=dict(result.response),
            scheduling=types.FunctionResponseScheduling(scheduling.value) if scheduling else None,
        )
        self._sent += 1
        with _as_link_error(Phase.OPEN):
            await self._session.send_tool_response(function_responses=response)

    async def send_seed(self, seed: HistorySeed) -> None:
        """Send turns that the model must not answer; raises LinkError."""
        turns: list[types.ContentOrDict] = [
            types.Content(role=turn.role.value, parts=[types.Part.from_text(text=turn.text)]) for turn in seed.turns
        ]
        self._sent += 1
        with _as_link_error(Phase.OPEN):
            await self._session.send_client_content(
                turns=turns, turn_complete=seed.method is SeedMethod.INITIAL_HISTORY
            )

    def traffic(self) -> Traffic | None:
        """Return the bytes in flight, as the kernel reports them; None once the connection is lost."""
        return self._monitor.traffic()

    def undelivered(self) -> int:
        """Return the number of samples, the last ones sent, that the other end has not acknowledged; 0 if unknown."""
        acknowledged = self._monitor.acknowledged()
        return 0 if acknowledged is None else self._delivery.undelivered(acknowledged)

    def unconsumed(self, consumed: int | None) -> int:
        """Return the number of samples, the last ones sent, that a new handle's session may not know."""
        return self.undelivered() if consumed is None else self._delivery.unconsumed(consumed)

    async def _send(self, **realtime_input: Any) -> None:  # noqa: ANN401  the SDK's own
        self._sent += 1
        with _as_link_error(Phase.OPEN):
            await self._session.send_realtime_input(**realtime_input)


class GeminiConnector:
    """Opens links. Implements `live.ports.LinkConnector`.

    The TLS context is built once: it costs more than the rest of opening a link.

    Raises:
        ConfigurationError: ``live.ca_file`` cannot be used.
    """

    def __init__(self, settings: LiveSettings, declarations: Sequence[ToolDeclaration]) -> None:
        self._settings = settings
        self._declarations = tuple(declarations)
        self._tls = client_context(settings.ca_file, "live.ca_file")
        _configure_libraries()

    @asynccontextmanager
    async def open(self, token: LiveToken, request: Request) -> AsyncIterator[GeminiConnection]:
        """Open a link; entering returns once the service has answered the set-up, leaving closes it within 2 s.

        Raises:
            LinkError: It cannot be opened, or not within ``live.setup_timeout_s``.
        """
        config = live_config(self._settings, token.model, request, self._declarations, token.locks)
        monitor = ConnectionMonitor()
        async with AsyncExitStack() as stack:
            with _as_link_error(Phase.OPENING):
                async with asyncio.timeout(self._settings.setup_timeout_s):
                    client = await stack.enter_async_context(self._client(token, monitor))
                    connection = client.aio.live.connect(model=token.model, config=config)
                    session = await stack.enter_async_context(connection)
                    stack.push_async_callback(_close, session)
                    if session.setup_complete is None:
                        await _wait_for_setup(session)
            yield GeminiConnection(session, monitor, capabilities(token.model))

    def optional_features(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        """Return the optional features in the set-up for this request."""
        return optional_features(live_config(self._settings, model, request, self._declarations))

    def config_hash(self, model: str) -> str:
        """Return a hash of the set-up fields that a resumed session keeps."""
        return config_hash(self._settings, model, self._declarations)

    async def warm_up(self) -> None:
        """Do the work that is slow only once (pydantic compiles models at first use) before a conversation needs it."""
        never = Seconds(0.0)
        token = LiveToken("auth_tokens/none", "none", "v1alpha", None, never, never, never)
        self.optional_features(token.model, Request(Mode.HANDS_FREE))
        part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAA="}}
        message = {"serverContent": {"modelTurn": {"parts": [part]}}}
        list(translate(types.LiveServerMessage.model_validate(message)))
        async with self._client(token, ConnectionMonitor()):
            pass

    @asynccontextmanager
    async def _client(self, token: LiveToken, monitor: ConnectionMonitor) -> AsyncIterator[genai.Client]:
        """Yield a client for one token, by which the SDK chooses path and headers.

        Sets everything that the SDK would otherwise read from the environment: ``GOOGLE_GEMINI_BASE_URL`` would send
        the token elsewhere.
        """
        client = genai.Client(
            enterprise=False,
            api_key=token.value,
            http_options=types.HttpOptions(
                base_url=(token.base_url or GOOGLE_URL).rstrip("/"),
                api_version=token.api_version,
                client_args={"verify": self._tls, "trust_env": False},
                async_client_args={
                    "verify": self._tls,
                    "trust_env": False,
                    "ssl": self._tls,
                    "create_connection": monitor.connection,
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
def _as_link_error(phase: Phase) -> Iterator[None]:
    """Raise the SDK's errors as LinkError, without their text, which may hold a token or transcripts."""
    try:
        yield
    except SDK_ERRORS as error:
        raise link_error(error, phase) from None


async def _receive(session: AsyncSession) -> types.LiveServerMessage:
    """Return the next message.

    The SDK's iterator ends with each turn and with each message that it cannot read. So it is used for one message and
    entered again for the next; nothing is lost in between.
    """
    received = cast("AsyncGenerator[types.LiveServerMessage, None]", session.receive())
    async with aclosing(received):
        return await anext(received)


async def _wait_for_setup(session: AsyncSession) -> None:
    """Wait for setupComplete, which the SDK expects as the first message; messages before it are ignored."""
    log.event("link.early-message", level="warning")
    while True:
        with suppress(*UNREADABLE):
            if (await _receive(session)).setup_complete is not None:
                return


async def _close(session: AsyncSession) -> None:
    """Close the connection; never raises.

    If the peer has stopped reading, the first attempt blocks at the close frame; the second finds the connection
    closing with its time-out over, and aborts it.
    """
    with suppress(*SDK_ERRORS):
        async with timeout(_CLOSE_S):
            await session.close()
    with suppress(*SDK_ERRORS):
        await session.close()


def _configure_libraries() -> None:
    """Keep secrets out of the log and silence the SDK's warnings, for the whole process.

    At DEBUG, websockets logs the authorization header and every frame. The SDK warns that ephemeral tokens are
    experimental, and of unknown enum values; a warning filter cannot be limited to one task.
    """
    for name in ("websockets", "httpx2", "google_genai"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
    warnings.filterwarnings("ignore", category=errors.ExperimentalWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"google\.genai\.")
