"""Ports of the Live session, free of any SDK type: tokens, tools, links, and the state kept across restarts."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

from appliance.audio.ports import UplinkSink
from appliance.core.state import Mode
from appliance.live.messages import LinkMessage
from appliance.units import Seconds

GOOGLE_SEARCH: Final = "google_search"
"""Name of the service's own web search in `Locks.tools`."""


@dataclass(frozen=True, slots=True)
class Locks:
    """The set-up fields that a token decides, whatever the client asks for; None: the client chooses."""

    voice: str | None = None
    language: str | None = None
    tools: frozenset[str] | None = None
    """The only tools that may be offered, by name; `GOOGLE_SEARCH` among them allows the search."""
    tag: str = ""
    """Changes with every change of the locks; a session cannot be resumed with another tag."""


UNLOCKED: Final = Locks()


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A short-lived token and its terms. Its repr does not show the token."""

    value: str = field(repr=False)
    model: str
    """With or without the ``models/`` prefix, as the server sent it."""
    api_version: str
    base_url: str | None
    """None for Google's own."""
    session_from: Seconds
    """Monotonic time of its arrival."""
    new_session_until: Seconds
    """Monotonic time after which no new session may begin."""
    expires_at: Seconds
    """Monotonic time at which running sessions end."""
    session_id: str | None = None
    """The id under which the session is reported to the server."""
    locks: Locks = UNLOCKED


class TokenSource(Protocol):
    """Provides tokens."""

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        """Return a token for one new session, or for resuming one.

        Raises:
            ProvisioningUnreachable, TokenRefused.
        """

    def track_link(self, token: LiveToken) -> AbstractContextManager[None]:
        """Count a link as open with this token until the context exits."""


# Text


class Role(Enum):
    """The side that speaks; the values are the service's."""

    PERSON = "user"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Turn:
    """The words of one side in one turn."""

    role: Role
    text: str = field(repr=False)
    sources: tuple[str, ...] = field(default=(), repr=False)
    """Addresses that the service has looked up for it."""


class SeedMethod(Enum):
    """Ways to give a session text that it must not answer."""

    CONTENT = "content"
    """As content at any time, with the turn left open (``turn_complete=False``): the person's words complete it."""
    INITIAL_HISTORY = "initial history"
    """As content before anything else, with the turn closed (``turn_complete=True``), which gets no answer: for a link
    that was requested as seeded."""


@dataclass(frozen=True, slots=True)
class HistorySeed:
    """Turns given to a new session, oldest first. A transcript is never used together with a handle."""

    method: SeedMethod
    turns: tuple[Turn, ...]


# Tools


class ToolBehavior(Enum):
    """Whether the model waits for a tool."""

    BLOCKING = "blocking"
    """The model waits for the result before it speaks, if it supports the choice."""
    NON_BLOCKING = "non-blocking"
    """The conversation goes on meanwhile, if the model supports the choice."""


class Scheduling(Enum):
    """When the model speaks of a result that it did not wait for; the values are the service's."""

    SILENT = "SILENT"
    WHEN_IDLE = "WHEN_IDLE"
    INTERRUPT = "INTERRUPT"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call: JSON values only."""

    call: str
    name: str
    response: Mapping[str, Any] = field(repr=False)
    scheduling: Scheduling | None = None
    """For a result that the model did not wait for; omitted if the model does not support it."""


@dataclass(frozen=True, slots=True)
class ToolDeclaration:
    """A tool as declared to the model; ``parameters`` is a JSON schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    behavior: ToolBehavior = ToolBehavior.BLOCKING


# Links


class OptionalFeature(Enum):
    """An optional part of a set-up, the least important first."""

    VOCABULARY = "vocabulary"
    TEMPERATURE = "temperature"
    AFFECTIVE_DIALOG = "affective-dialog"
    PROACTIVE_AUDIO = "proactive-audio"
    TOOL_BEHAVIOR = "tool-behavior"
    DETECTION = "detection"
    """Sensitivities, silence and padding of the service's own turn detection; not whether it is on."""
    LANGUAGE = "language"
    THINKING = "thinking"
    SEARCH = "search"
    COMPRESSION_NUMBERS = "compression-numbers"
    """Without them the service uses its own, which cost more."""
    TRANSCRIPTION = "transcription"
    COMPRESSION = "compression"
    """Without it a session lasts 15 minutes."""


@dataclass(frozen=True, slots=True)
class Request:
    """The parameters of one link."""

    mode: Mode
    handle: str | None = field(default=None, repr=False)
    """Resumption handle; None starts a new session."""
    seeded: bool = False
    """A `HistorySeed` as initial history will be sent before anything else."""
    omitted_features: frozenset[OptionalFeature] = frozenset()
    """Features that the model was found to refuse."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes sent to the service since the link was opened."""

    written: int
    queued: int
    """Bytes of them that the other end has not acknowledged yet."""


class Link(UplinkSink, Protocol):
    """One open connection, its set-up answered. Sending raises LinkError once it has ended."""

    def messages(self) -> AsyncGenerator[LinkMessage, None]:
        """Yield the service's messages in order, across turns; ends only by LinkError.

        For one reader, who closes it when leaving early (`contextlib.aclosing`).
        """

    async def send_tool_result(self, result: ToolResult) -> None:
        """Answer a tool call; raises LinkError."""

    async def send_text(self, text: str) -> None:
        """Send text as a turn of the person; raises LinkError."""

    async def send_seed(self, seed: HistorySeed) -> None:
        """Send turns that the model must not answer; raises LinkError."""

    def traffic(self) -> Traffic | None:
        """Return the bytes in flight; None if unknown."""

    def undelivered(self) -> int:
        """Return the number of samples, the last ones sent, that have not arrived yet, or before the link ended."""

    def unconsumed(self, consumed: int | None) -> int:
        """Return the number of samples, the last ones sent, that a new handle's session may not know."""


class LinkConnector(Protocol):
    """Opens links."""

    def optional_features(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        """Return the optional features in the set-up for this request."""

    def config_hash(self, model: str) -> str:
        """Return a hash of the set-up fields that a resumed session keeps: it cannot be resumed with others."""

    def open(self, token: LiveToken, request: Request) -> AbstractAsyncContextManager[Link]:
        """Open a link; entering returns once the service has answered the set-up, leaving closes it.

        Raises:
            LinkError: It cannot be opened, with the cause.
        """


class Store(Protocol):
    """Keeps a small JSON object across restarts."""

    def load(self) -> object:
        """Return the last saved value; None if there is none, or it is unusable."""

    async def save(self, value: Mapping[str, Any]) -> None:
        """Replace the saved value; a failure to write is logged and ignored."""
