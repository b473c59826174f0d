"""The event loop of every program on the device that opens connections: it waits for no address that leads nowhere.

A home whose IPv6 does not work would otherwise cost ten seconds for each connection: neither google-genai nor
websockets tries the other address meanwhile, and neither lets anybody say so.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from appliance.net.resolver import DetachedResolver

HAPPY_EYEBALLS_S: Final = 0.25
"""Connection attempt delay (RFC 8305, 5)."""

T = TypeVar("T")


class HappyEyeballsLoop(DetachedResolver, asyncio.SelectorEventLoop):
    """Tries the next address of a name when one has not answered for `HAPPY_EYEBALLS_S`."""

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  asyncio's own
        """Connect, as asyncio has it, but for that default where a name is to be looked up."""
        if kwargs.get("sock") is None:
            kwargs.setdefault("happy_eyeballs_delay", HAPPY_EYEBALLS_S)
        return await super().create_connection(*args, **kwargs)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program to its end, as `asyncio.run` does, on a `HappyEyeballsLoop`."""
    with asyncio.Runner(loop_factory=HappyEyeballsLoop) as runner:
        return runner.run(main)
