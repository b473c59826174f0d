"""What all connections of one simulator share."""

import secrets
from collections.abc import Callable
from typing import Final

from appliance.errors import InputError
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.record import SessionRecord
from appliance.simulator.replies import Reply, load
from appliance.simulator.setup import Setup
from appliance.simulator.tokens import Tokens
from appliance.units import Pcm

_HANDLES: Final = 1000
"""Resumption handles remembered; one more and the oldest is forgotten."""
_SESSIONS: Final = 100
"""Records kept; one more and the oldest is forgotten."""


class Service:
    """The script, the tokens, the handles and the records.

    Raises:
        InputError: There is no reply, or one cannot be read.
    """

    def __init__(self, options: SimulatorOptions, monotonic: Callable[[], float]) -> None:
        if not options.replies:
            raise InputError("the script has no reply")
        self.options = options
        self.tokens = Tokens(monotonic)
        self.sessions: list[SessionRecord] = []
        """In the order of the set-ups, running ones included."""
        self._voices = [load(reply) for reply in options.replies]
        self._handles: dict[str, int] = {}
        self._begun = 0

    def reply(self, position: int) -> tuple[Reply, Pcm]:
        """Return the reply at a position of the script, which begins again after its end, and its samples."""
        index = position % len(self._voices)
        return self.options.replies[index], self._voices[index]

    def begin_record(self, setup: Setup) -> SessionRecord:
        """Return a new record for a session that begins."""
        self._begun += 1
        record = SessionRecord(
            number=self._begun,
            model=setup.model,
            push_to_talk=setup.detection is None,
            resumed=setup.handle is not None,
        )
        self.sessions.append(record)
        del self.sessions[:-_SESSIONS]
        return record

    def new_handle(self, position: int) -> str:
        """Return a handle under which a session can go on at this position of the script."""
        handle = secrets.token_hex(24)
        if len(self._handles) >= _HANDLES:
            del self._handles[next(iter(self._handles))]
        self._handles[handle] = position
        return handle

    def position(self, handle: str) -> int | None:
        """Return where the session of that handle goes on; None for an unknown one."""
        return self._handles.get(handle)
