"""Port for the state that outlives a restart."""

from collections.abc import Mapping
from typing import Any, Protocol


class Store(Protocol):
    """Keeps a small JSON object over restarts."""

    def load(self) -> object:
        """Return what was saved last; None where there is nothing of use."""

    async def save(self, value: Mapping[str, Any]) -> None:
        """Replace it; what cannot be written is logged and left."""
