"""What the conversation needs of a light."""

from dataclasses import dataclass
from typing import Protocol

from appliance.core.state import State


@dataclass(frozen=True, slots=True)
class Look:
    """One instant of a light: brightness of red, green and blue, each 0 to 1, and the state that it stands for."""

    state: State
    red: float
    green: float
    blue: float


class Light(Protocol):
    """Shows looks; never raises once it is open."""

    def show(self, look: Look) -> None:
        """Show this now; called on the loop's thread, returns at once."""

    def close(self) -> None:
        """Switch off and give the pins back."""
