"""Playing a scenario on one connection: each step when its moment comes."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from appliance.simulator.model.turn_plan import TurnPlan
from appliance.simulator.scenario.connection_faults import ConnectionControls, ConnectionFault
from appliance.simulator.scenario.file import Scenario
from appliance.simulator.scenario.steps import Moment, Step
from appliance.simulator.scenario.turn_faults import TurnFault

_LOG: Final = logging.getLogger(__name__)


class ScenarioSchedule:
    """Which scenario governs which connection.

    The first scenario has the first connection, and so on; the last one has all that follow.
    """

    def __init__(self, scenarios: Sequence[Scenario], always: Sequence[Step] = ()) -> None:
        self._scenarios = scenarios
        self._always = tuple(always)
        """Steps for every connection, whatever the scenario."""
        self._connections = 0

    def next_steps(self) -> tuple[Step, ...]:
        """Return the steps for the connection that begins."""
        self._connections += 1
        if not self._scenarios:
            return self._always
        last = len(self._scenarios) - 1
        index = min(self._connections - 1, last)
        own = self._connections - index
        chosen = tuple(step for step in self._scenarios[index].step if step.applies(own))
        return self._always + chosen


class ScenarioRunner:
    """Plays the steps of one connection on a stage; its acts are tasks of the group."""

    def __init__(self, steps: Sequence[Step], tasks: asyncio.TaskGroup) -> None:
        self._steps = steps
        self._tasks = tasks
        self._counts: Counter[Moment] = Counter()
        self._playing: set[asyncio.Task[None]] = set()

    async def preempted(self, moment: Moment, stage: ConnectionControls) -> None:
        """Play what waits for a moment before the session; what is to be done without delay is done on return."""
        for act in self._due(moment):
            if act.after_s:
                self._begin(act, stage)
            else:
                await self._play(act, stage)

    def reached(self, moment: Moment, stage: ConnectionControls) -> None:
        """Begin to play, beside the session, what waits for this moment."""
        for act in self._due(moment):
            self._begin(act, stage)

    def altered(self, plan: TurnPlan) -> TurnPlan:
        """Return the plan of the turn that has just begun, with the alterations that are for it."""
        for step in self._fitting(Moment.TURN):
            if isinstance(step, TurnFault):
                plan = step.alter(plan)
        return plan

    def stop(self) -> None:
        """The connection has ended: nothing more is played."""
        for task in self._playing:
            task.cancel()

    def _due(self, moment: Moment) -> list[ConnectionFault]:
        self._counts[moment] += 1
        return [step for step in self._fitting(moment) if isinstance(step, ConnectionFault)]

    def _fitting(self, moment: Moment) -> list[Step]:
        return [step for step in self._steps if step.on.fits(moment, self._counts[moment])]

    def _begin(self, act: ConnectionFault, stage: ConnectionControls) -> None:
        task = self._tasks.create_task(self._play(act, stage))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    async def _play(self, act: ConnectionFault, stage: ConnectionControls) -> None:
        await stage.sleep(act.after_s)
        _LOG.info("scenario: %s", act.do)
        await act.play(stage)
