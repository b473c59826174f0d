"""How the simulated service behaves."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from appliance.simulator.replies import DEFAULT_SCRIPT, Reply

DEFAULT_API_KEY: Final = "simulator"
"""Not a secret: it opens nothing but a simulator on loopback."""


class TokenPolicy(Enum):
    """What the token endpoint does with a correct request."""

    GRANT = "grant"
    REFUSE = "refuse"
    """Answers 403."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """The end of every connection, announced by goAway."""

    after_s: float
    """From setupComplete to goAway."""
    time_left_s: float
    """From goAway to the end."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Everything that can be chosen; the defaults are a service in good health."""

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
    replies: tuple[Reply, ...] = DEFAULT_SCRIPT
    """Spoken one a turn, from the beginning again after the last."""
    farewell: Farewell | None = None
    max_connections: int = 32
    """One more is cut off at once."""
    max_message_bytes: int = 1 << 20
    """A longer message ends the connection with 1009."""
    idle_s: float = 300.0
    """A connection on which nothing comes for this long is cut."""
