"""The event loop of the daemon: it does not wait for an address that leads nowhere.

A home whose IPv6 does not work would otherwise cost ten seconds for each connection: neither google-genai nor
websockets tries the other address meanwhile, and neither lets anybody say so.
"""

import asyncio
from typing import Any, Final

HAPPY_EYEBALLS_S: Final = 0.25
"""Connection attempt delay (RFC 8305, 5)."""


class HappyEyeballsLoop(asyncio.SelectorEventLoop):
    """Tries the next address of a name when one has not answered for `HAPPY_EYEBALLS_S`."""

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  asyncio's own
        """Connect, as asyncio has it, but for that default where a name is to be looked up."""
        if kwargs.get("sock") is None:
            kwargs.setdefault("happy_eyeballs_delay", HAPPY_EYEBALLS_S)
        return await super().create_connection(*args, **kwargs)
