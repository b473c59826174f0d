"""The state that all connections of one simulator share."""

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
from appliance.simulator.record import SessionRecord, session_audio
from appliance.simulator.scenario.connection_faults import GoAway
from appliance.simulator.scenario.runner import ScenarioSchedule
from appliance.simulator.scenario.steps import Step, Trigger, TriggerPoint
from appliance.units import Pcm

_MAX_RECORDS: Final = 100
"""Records kept; one more, and the oldest is forgotten."""
_LOG: Final = logging.getLogger(__name__)


class Service:
    """The script, the scenarios, the tokens, the handles and the records.

    Raises:
        InputError: The script is empty, or a reply cannot be read.
    """

    def __init__(self, options: SimulatorOptions, monotonic: Callable[[], float]) -> None:
        if not options.replies:
            raise InputError("the script has no reply")
        self.options = options
        self.tokens = TokenStore(monotonic)
        self.handles = ResumptionStore(
            monotonic, options.handle_life_s, options.allow_overlap, options.unknown_handle_code
        )
        scenarios = [scenario.scaled(options.time_scale) for scenario in options.scenarios]
        self.schedule = ScenarioSchedule(scenarios, _go_away_steps(options))
        self.sessions: list[SessionRecord] = []
        """Connection by connection in the order of the set-ups, running ones included."""
        self._audio = [load(reply) for reply in options.replies]
        self._connections = 0

    def plan_turn(self, position: int) -> TurnPlan:
        """Return the turn at a position of the script, which repeats after its end."""
        index = position % len(self._audio)
        reply = self.options.replies[index]
        return TurnPlan(
            reply=position,
            audio=self._audio[index],
            text=reply.text,
            question=reply.question or "…",
            tools=(reply.tool,) if reply.tool else (),
            thinking_s=self.options.thinking_s,
            speed=self.options.speed,
        )

    def begin_record(self, setup: Setup, resumed: Snapshot | None) -> SessionRecord:
        """Return a new record, for a connection whose set-up was accepted."""
        self._connections += 1
        record = SessionRecord(
            number=self._connections,
            model=setup.model,
            push_to_talk=setup.detection is None,
            resumed=resumed is not None,
            session=resumed.session if resumed else self._connections,
            resumed_from=(resumed.connection, resumed.received_samples) if resumed else None,
        )
        self.sessions.append(record)
        del self.sessions[:-_MAX_RECORDS]
        return record

    def received(self, session: int) -> Pcm:
        """Return the samples that a session has received and not forgotten (`record.session_audio`); 16 kHz mono."""
        return session_audio(record.received for record in self.sessions if record.session == session)

    def save_record(self, record: SessionRecord) -> None:
        """Write the record of a connection that has ended, if a directory was chosen."""
        if self.options.record is None:
            return
        try:
            record.write(self.options.record)
        except OSError as error:
            _LOG.error("session %d is not recorded: %s", record.number, error.strerror)


def _go_away_steps(options: SimulatorOptions) -> tuple[Step, ...]:
    due = options.go_away
    if due is None:
        return ()
    return (GoAway(do="go_away", on=Trigger(TriggerPoint.READY), after_s=due.after_s, time_left_s=due.time_left_s),)
