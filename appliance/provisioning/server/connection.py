"""A connection that has its handshake behind it: HTTP as uvicorn speaks it, with its stage kept in the room."""

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from appliance.provisioning.server.connection_limits import VISIT, ConnectionLimits, Peer, RequestArrival, Stage


class Connection(H11Protocol):
    """Tells the room its stage, and the application when a request came and whether its sender has gone."""

    def __init__(self, peer: Peer, room: ConnectionLimits, **given: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(**given)
        self._peer = peer
        self._room = room
        self._has_begun = False
        """Whether a request has come, in part at least."""
        self._begin_visit(peer.came_at)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  asyncio's, TLS or not
        """Expect a request."""
        self._peer.sever = transport.abort
        super().connection_made(transport)
        self._room.move(self._peer, Stage.REQUEST, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave."""
        self._visit.is_gone = True
        self._room.remove(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in a part of a request."""
        if not self._has_begun:
            self._has_begun = True
            now = self.loop.time()
            self._begin_visit(now - self._peer.waited_s)
            self._peer.waited_s = 0.0
            if self._peer.stage is Stage.IDLE:
                self._room.move(self._peer, Stage.REQUEST, now)
        super().data_received(data)
        self._note_work()

    def on_response_complete(self) -> None:
        """Have an answer behind us; the next request may have come by now."""
        now = self.loop.time()
        self._room.move(self._peer, Stage.IDLE, now)
        self._has_begun = False
        self._begin_visit(now)
        super().on_response_complete()
        self._note_work()

    def _begin_visit(self, came_at: float) -> None:
        self._visit = RequestArrival(came_at)
        self.app_state = {**self.app_state, VISIT: self._visit}

    def _note_work(self) -> None:
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            self._room.move(self._peer, Stage.WORK, self.loop.time())
