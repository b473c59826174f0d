"""Messages of a Live connection, free of any SDK type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from appliance.units import Seconds


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """Audio of the model: s16le, 24 kHz mono."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class GenerationComplete:
    """The model has sent the last audio of its turn."""


class TurnReason(Enum):
    """Why the model's turn ended before it was finished."""

    MORE_INPUT = "more-input"
    """The model expects the person to go on."""
    FAILED = "failed"
    """The model's output was unusable, for example a malformed tool call."""
    REFUSED = "refused"
    """The service blocked the question or the answer."""


@dataclass(frozen=True, slots=True)
class TurnComplete:
    """The model's turn is over, with or without audio."""

    reason: TurnReason | None = None


@dataclass(frozen=True, slots=True)
class WaitingForInput:
    """The model stays silent because it expects the person to go on."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The service has discarded the model's turn because the person spoke."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The service hears the person speak."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The service has heard the person stop."""


@dataclass(frozen=True, slots=True)
class HeardText:
    """A piece of the person's transcript. Never logged by default."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A piece of the model's transcript. Never logged by default."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCallsCancelled:
    """The model no longer wants the results of these calls."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HandleUpdated:
    """A new resumption handle; None: the session cannot be resumed now."""

    handle: str | None = field(repr=False)
    consumed: int | None = None
    """Number of our messages after the set-up that the session knows; None: the service does not say."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """The service will end the connection in this many seconds."""

    time_left: Seconds


@dataclass(frozen=True, slots=True)
class Grounding:
    """The model has used the service's own search."""

    sources: tuple[str, ...] = field(repr=False)
    """Addresses; they may reveal the question."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """The model is working on its turn; its output so far is not to be heard."""


class Interaction(Enum):
    """Whether a request is finished; a model that thinks long may take several turns for one."""

    IN_PROGRESS = "in-progress"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class StatusReported:
    """The service's view of the interaction; not every model reports it."""

    status: Interaction


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Token counts by modality."""

    text: int = 0
    audio: int = 0
    other: int = 0
    """Images, video, and tokens that the service does not break down."""

    @property
    def total(self) -> int:
        """The sum."""
        return self.text + self.audio + self.other

    def __add__(self, more: "TokenCount") -> "TokenCount":
        return TokenCount(self.text + more.text, self.audio + more.audio, self.other + more.other)


@dataclass(frozen=True, slots=True)
class UsageReported:
    """Tokens billed for a turn. The prompt is the whole context: each turn is billed for it again."""

    total_tokens: int
    """As the service counts, possibly without thoughts."""
    prompt: TokenCount = TokenCount()
    response: TokenCount = TokenCount()
    thoughts: int = 0


LinkMessage = (
    ReplyAudio
    | GenerationComplete
    | TurnComplete
    | WaitingForInput
    | Interrupted
    | SpeechStarted
    | SpeechEnded
    | HeardText
    | SpokenText
    | ToolCall
    | ToolCallsCancelled
    | HandleUpdated
    | GoAway
    | UsageReported
    | Grounding
    | Thinking
    | StatusReported
)
