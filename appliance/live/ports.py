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
    """What a token fixes of a session's set-up, whatever is asked for; None: whoever connects chooses."""

    voice: str | None = None
    language: str | None = None
    tools: frozenset[str] | None = None
    """The only tools that may be offered, by name; `GOOGLE_SEARCH` among them allows the search."""
    tag: str = ""
    """Another one with every change of what is fixed: a session cannot be resumed across it."""


UNLOCKED: Final = Locks()


@dataclass(frozen=True, slots=True)
class LiveToken:
    """A short-lived token and what it was minted for. Its repr does not show the token."""

    value: str = field(repr=False)
    model: str
    """With the ``models/`` prefix or without, as the server says."""
    api_version: str
    base_url: str | None
    """None for Google's own."""
    session_from: Seconds
    """Monotonic moment when it was received."""
    new_session_until: Seconds
    """Monotonic moment after which no new session may begin."""
    expires_at: Seconds
    """Monotonic moment after which running sessions end."""
    session_id: str | None = None
    """Under which the server hears what became of the session."""
    locks: Locks = UNLOCKED


class TokenSource(Protocol):
    """Where tokens come from."""

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        """Return a token that is good for one new session, or for resuming one.

        Raises:
            ProvisioningUnreachable, TokenRefused.
        """

    def track_link(self, token: LiveToken) -> AbstractContextManager[None]:
        """Count a link as open with this token until the context is left."""


# Text


class Role(Enum):
    """Whose words they are; the values are the service's."""

    PERSON = "user"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of them said in one go."""

    speaker: Role
    text: str = field(repr=False)
    sources: tuple[str, ...] = field(default=(), repr=False)
    """Addresses of what the service has looked up for it."""


class SeedMethod(Enum):
    """How a session takes what it is told in writing and is not to answer."""

    CONTENT = "content"
    """As content at any time, the turn left open (``turn_complete=False``): the person's words complete it."""
    INITIAL_HISTORY = "initial history"
    """As content before anything else, the turn closed (``turn_complete=True``), which answers nothing: for a link
    that was requested as seeded."""


@dataclass(frozen=True, slots=True)
class HistorySeed:
    """What a session is told, oldest turn first. A whole transcript never together with a handle."""

    way: SeedMethod
    turns: tuple[Turn, ...]


# Tools


class ToolBehavior(Enum):
    """Whether the model waits for a tool."""

    BLOCKING = "blocking"
    """The model waits for the result before it speaks, if it supports the choice."""
    NON_BLOCKING = "non-blocking"
    """The conversation goes on meanwhile, if the model supports the choice."""


class Scheduling(Enum):
    """When the model is to speak of a result that it did not wait for; the values are the service's."""

    SILENT = "SILENT"
    WHEN_IDLE = "WHEN_IDLE"
    INTERRUPT = "INTERRUPT"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answers: JSON values only."""

    call: str
    name: str
    response: Mapping[str, Any] = field(repr=False)
    scheduling: Scheduling | None = None
    """Of a result that the model did not wait for; left out where it does not know of it."""


@dataclass(frozen=True, slots=True)
class ToolDeclaration:
    """A tool as the model is told of it; ``parameters`` is a JSON schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    behavior: ToolBehavior = ToolBehavior.BLOCKING


# Links


class OptionalFeature(Enum):
    """An optional part of a set-up; the least missed comes first."""

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
    """The service's own numbers instead: they cost more."""
    TRANSCRIPTION = "transcription"
    COMPRESSION = "compression"
    """Without it a session lasts 15 minutes."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one link is to be."""

    mode: Mode
    handle: str | None = field(default=None, repr=False)
    """Of the session to go on with; None: a new one."""
    seeded: bool = False
    """A `HistorySeed` as initial history will be sent before anything else."""
    without: frozenset[OptionalFeature] = frozenset()
    """What the model has been found not to take."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes on the way to the service since the link was opened."""

    written: int
    queued: int
    """Of those, not yet acknowledged by the other end."""


class Link(UplinkSink, Protocol):
    """One open connection: set-up answered. Sending raises LinkError once it has ended."""

    def messages(self) -> AsyncGenerator[LinkMessage, None]:
        """Yield what the service sends, in order, turn after turn; ends only by LinkError.

        For one reader, who closes it when leaving early (`contextlib.aclosing`).
        """

    async def send_tool_result(self, result: ToolResult) -> None:
        """Answer a tool call; raises LinkError."""

    async def send_text(self, text: str) -> None:
        """Say something to the model in writing, as a turn of the person; raises LinkError."""

    async def send_seed(self, seed: HistorySeed) -> None:
        """Tell the model what it is not to answer; raises LinkError."""

    def traffic(self) -> Traffic | None:
        """Return what is on its way; None where that cannot be known."""

    def undelivered(self) -> int:
        """Return how many of the samples sent last have not arrived; once the link has ended, never will."""

    def unknown(self, consumed: int | None) -> int:
        """Return how many of the samples sent last the session of a handle that has just come need not know."""


class LinkConnector(Protocol):
    """Opens links."""

    def parts(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        """Return the optional parts that such a set-up has."""

    def config(self, model: str) -> str:
        """Name what a session keeps of its set-up when it is resumed: with another one it cannot go on."""

    def open(self, token: LiveToken, request: Request) -> AbstractAsyncContextManager[Link]:
        """Open one; entering returns once the service has answered the set-up, leaving closes it.

        Raises:
            LinkError: It cannot be opened, with the cause.
        """


class Store(Protocol):
    """Keeps a small JSON object across restarts."""

    def load(self) -> object:
        """Return the last saved value; None if there is none, or it is unusable."""

    async def save(self, value: Mapping[str, Any]) -> None:
        """Replace the saved value; a failure to write is logged and ignored."""
