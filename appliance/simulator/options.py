"""The options of the simulator."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from appliance.simulator.contract.locks import GlobalLock
from appliance.simulator.contract.messages import INVALID_ARGUMENT
from appliance.simulator.model.replies import DEFAULT_SCRIPT, Reply
from appliance.simulator.model.turn import TranscriptTiming
from appliance.simulator.scenario.file import Scenario
from appliance.voice.ports import VoiceDetector

DEFAULT_API_KEY: Final = "simulator"
"""Not a secret: it opens nothing but a simulator."""
API_VERSIONS: Final = frozenset({"v1", "v1beta", "v1alpha"})


class VoiceActivity(Enum):
    """Whether the service sends ``voiceActivity`` when the person begins and stops speaking."""

    BY_MODEL = "by-model"
    """As the model does (`Model.voice_activity`)."""
    SENT = "sent"
    UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class ScheduledGoAway:
    """The announced end of every connection."""

    after_s: float
    """From setupComplete to goAway."""
    time_left_s: float
    """From goAway to the end."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """All options; the defaults are a healthy service."""

    address: str = "127.0.0.1"
    """The address to listen on; any other than loopback is open to the network."""
    port: int = 0
    """0: any free port."""
    directory: Path | None = None
    """For ``ca.pem``; must exist. None: a temporary directory."""
    record: Path | None = None
    """For the WAV and JSON of each connection that has ended; must exist. None: not written."""
    api_key: str = DEFAULT_API_KEY
    refuse_tokens: bool = False
    """The token endpoint answers valid requests with 403."""
    link_delay_s: float = 0.0
    """Wait before setupComplete."""
    thinking_s: float = 0.0
    """Wait between the end of the person's speech and the reply."""
    speed: float = 4.0
    """Reply audio is sent this many times faster than it plays."""
    voice_activity: VoiceActivity = VoiceActivity.BY_MODEL
    voice_detector: Callable[[], VoiceDetector] | None = None
    """Makes the voice detector of each connection; None: whatever is louder than the noise is the person."""
    transcripts: TranscriptTiming = TranscriptTiming.PROMPT
    """When the person's transcript comes, if the set-up asks for it."""
    replies: tuple[Reply, ...] = DEFAULT_SCRIPT
    """One for each turn; repeated from the beginning after the last."""
    go_away: ScheduledGoAway | None = None
    scenarios: tuple[Scenario, ...] = ()
    """The first is for the first connection, and so on; the last for all that follow."""
    time_scale: float = 1.0
    """Factor for every time on the clock in scenarios."""
    api_versions: frozenset[str] = API_VERSIONS
    """Requests for other versions are refused with 404."""
    global_lock: GlobalLock = GlobalLock.IGNORES_HANDLE
    """Whether a connection's handle counts when its token locks the whole set-up."""
    allow_overlap: bool = False
    """Allow a resumption while the session's old connection is open; otherwise it is refused with 1011."""
    handle_life_s: float = 7200.0
    """Time for which a session can be resumed after its last connection (ai.google.dev, Live API: two hours)."""
    unknown_handle_code: int = INVALID_ARGUMENT
    """Close code for an unknown handle: 1007 or 1008, both seen from the service."""
    max_connections: int = 32
    """One more is dropped at once."""
    max_message_bytes: int = 1 << 20
    """A longer message ends the connection with 1009."""
    idle_s: float = 300.0
    """A connection without messages for this long is dropped."""
