"""Notes which sessions have got their tokens: those of devices that ask at the same time, in one transaction."""

import asyncio
from dataclasses import dataclass
from functools import partial

from appliance.provisioning.server import sessions
from appliance.provisioning.server.store import Store


@dataclass(slots=True)
class _Waiting:
    minted: sessions.Minted
    is_written: bool = False


class GroupCommit:
    """Settles sessions; for one event loop. Its line is as long as there are requests under way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_turn = asyncio.Lock()
        self._line: list[_Waiting] = []

    async def settle(self, minted: sessions.Minted) -> bool:
        """Note that a session has its token; False: it has been taken back, and the token must not be given out.

        Raises:
            StoreUnavailable.
        """
        mine = _Waiting(minted)
        self._line.append(mine)
        async with self._in_turn:
            if mine in self._line:
                # Whoever came while the one before wrote is written along.
                group, self._line = self._line, []
                work = partial(sessions.settle, minted=[one.minted for one in group])
                settled = await self._store.transact(work)
                for one in group:
                    one.is_written = one.minted.session_id in settled
        return mine.is_written
