"""What all connections of one simulator share."""

import logging
from collections.abc import Callable
from typing import Final

from appliance.errors import InputError
from appliance.simulator.contract.setup import Setup
from appliance.simulator.contract.tokens import TokenStore
from appliance.simulator.model.replies import load
from appliance.simulator.model.resumption import ResumptionStore, Snapshot
from appliance.simulator.model.turn_plan import TurnPlan
from appliance.simulator.options import SimulatorOptions
from appliance.simulator.record import SessionRecord, known
from appliance.simulator.scenario.connection_faults import GoAway
from appliance.simulator.scenario.runner import ScenarioSchedule
from appliance.simulator.scenario.steps import Moment, Step, Trigger
from appliance.units import Pcm

_SESSIONS: Final = 100
"""Records kept; one more and the oldest is forgotten."""
_LOG: Final = logging.getLogger(__name__)


class Service:
    """The script, the scenarios, the tokens, the handles and the records.

    Raises:
        InputError: There is no reply, or one cannot be read.
    """

    def __init__(self, options: SimulatorOptions, monotonic: Callable[[], float]) -> None:
        if not options.replies:
            raise InputError("the script has no reply")
        self.options = options
        self.tokens = TokenStore(monotonic)
        self.handles = ResumptionStore(monotonic, options.handle_life_s, options.overlap, options.unknown_handle_code)
        scenarios = [scenario.scaled(options.time_scale) for scenario in options.scenarios]
        self.playbill = ScenarioSchedule(scenarios, _always(options))
        self.sessions: list[SessionRecord] = []
        """Connection by connection in the order of the set-ups, running ones included."""
        self._voices = [load(reply) for reply in options.replies]
        self._begun = 0

    def plan(self, position: int) -> TurnPlan:
        """Return the turn at a position of the script, which begins again after its end."""
        index = position % len(self._voices)
        reply = self.options.replies[index]
        return TurnPlan(
            reply=position,
            voice=self._voices[index],
            text=reply.text,
            heard=reply.heard or "…",
            tools=(reply.tool,) if reply.tool else (),
            thinking_s=self.options.thinking_s,
            speed=self.options.speed,
        )

    def begin_record(self, setup: Setup, resumed: Snapshot | None) -> SessionRecord:
        """Return a new record for a connection whose set-up was accepted."""
        self._begun += 1
        record = SessionRecord(
            number=self._begun,
            model=setup.model,
            push_to_talk=setup.detection is None,
            resumed=resumed is not None,
            session=resumed.session if resumed else self._begun,
            resumed_from=(resumed.connection, resumed.heard) if resumed else None,
        )
        self.sessions.append(record)
        del self.sessions[:-_SESSIONS]
        return record

    def received(self, session: int) -> Pcm:
        """Return the samples that a session knows, over all its connections in order (`record.known`); 16 kHz mono."""
        return known(record.heard for record in self.sessions if record.session == session)

    def keep(self, record: SessionRecord) -> None:
        """Write the record of a connection that has ended, where that is wanted."""
        if self.options.record is None:
            return
        try:
            record.write(self.options.record)
        except OSError as error:
            _LOG.error("session %d is not recorded: %s", record.number, error.strerror)


def _always(options: SimulatorOptions) -> tuple[Step, ...]:
    farewell = options.farewell
    if farewell is None:
        return ()
    on = Trigger(Moment.READY)
    return (GoAway(do="go_away", on=on, after_s=farewell.after_s, time_left_s=farewell.time_left_s),)
