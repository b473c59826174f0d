"""How the simulated service behaves."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from appliance.simulator.contract.locks import GlobalLock
from appliance.simulator.contract.messages import INVALID_ARGUMENT
from appliance.simulator.model.replies import DEFAULT_SCRIPT, Reply
from appliance.simulator.model.resumption import Overlap
from appliance.simulator.model.transcripts import Transcripts
from appliance.simulator.scenario.file import Scenario

DEFAULT_API_KEY: Final = "simulator"
"""Not a secret: it opens nothing but a simulator on loopback."""
API_VERSIONS: Final = frozenset({"v1", "v1beta", "v1alpha"})


class TokenPolicy(Enum):
    """What the token endpoint does with a correct request."""

    GRANT = "grant"
    REFUSE = "refuse"
    """Answers 403."""


class VoiceActivity(Enum):
    """Whether the service sends ``voiceActivity`` when it hears the person begin and stop."""

    BY_MODEL = "by-model"
    """As the model does (`models.Model.voice_activity`)."""
    SENT = "sent"
    UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class ScheduledGoAway:
    """The end of every connection, announced by goAway."""

    after_s: float
    """From setupComplete to goAway."""
    time_left_s: float
    """From goAway to the end."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Everything that can be chosen; the defaults are a service in good health."""

    address: str = "127.0.0.1"
    """Where it listens; any other than loopback is open to the network."""
    port: int = 0
    """0: one that is free."""
    directory: Path | None = None
    """Where ``ca.pem`` is written; must exist. None: a temporary directory."""
    record: Path | None = None
    """Where a session leaves its WAV and JSON when it ends; must exist. None: nowhere."""
    api_key: str = DEFAULT_API_KEY
    tokens: TokenPolicy = TokenPolicy.GRANT
    link_delay_s: float = 0.0
    """Wait before setupComplete."""
    thinking_s: float = 0.0
    """Wait between the end of what the person says and the reply."""
    speed: float = 4.0
    """Reply audio is sent this many times faster than it plays."""
    voice_activity: VoiceActivity = VoiceActivity.BY_MODEL
    transcripts: Transcripts = Transcripts.PROMPT
    """When the transcription of the person comes, where the set-up asks for it."""
    replies: tuple[Reply, ...] = DEFAULT_SCRIPT
    """Spoken one a turn, from the beginning again after the last."""
    farewell: ScheduledGoAway | None = None
    scenarios: tuple[Scenario, ...] = ()
    """What goes wrong: the first is for the first connection, and so on; the last one for all that follow."""
    time_scale: float = 1.0
    """Every time on the clock in a scenario is multiplied by this."""
    api_versions: frozenset[str] = API_VERSIONS
    """Connections to others are refused with 404."""
    global_lock: GlobalLock = GlobalLock.IGNORES_HANDLE
    """What becomes of the handle of a connection whose token fixes the whole set-up."""
    overlap: Overlap = Overlap.REFUSED
    """What becomes of a resumption while the session's old connection is open."""
    handle_life_s: float = 7200.0
    """How long a session can be resumed after its last connection has ended (ai.google.dev, Live API: two hours)."""
    unknown_handle_code: int = INVALID_ARGUMENT
    """The close code for a handle that is not known: 1007 or 1008, as the service has both."""
    max_connections: int = 32
    """One more is cut off at once."""
    max_message_bytes: int = 1 << 20
    """A longer message ends the connection with 1009."""
    idle_s: float = 300.0
    """A connection on which nothing comes for this long is cut."""
