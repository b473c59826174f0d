"""Running a scenario on one connection: each step when it is due."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Final

from appliance.simulator.connection_context import ConnectionContext
from appliance.simulator.model.turn_plan import TurnPlan
from appliance.simulator.scenario.connection_faults import ConnectionFault
from appliance.simulator.scenario.file import Scenario
from appliance.simulator.scenario.steps import Step, TriggerPoint
from appliance.simulator.scenario.turn_faults import TurnFault

_LOG: Final = logging.getLogger(__name__)


class ScenarioSchedule:
    """Assigns scenarios to connections: the first to the first, and so on; the last to all that follow."""

    def __init__(self, scenarios: Sequence[Scenario], always: Sequence[Step] = ()) -> None:
        self._scenarios = scenarios
        self._always = tuple(always)
        """Steps for every connection, before those of its scenario."""
        self._connections = 0

    def next_steps(self) -> tuple[Step, ...]:
        """Return the steps for a new connection."""
        self._connections += 1
        if not self._scenarios:
            return self._always
        index = min(self._connections, len(self._scenarios)) - 1
        number = self._connections - index
        return self._always + tuple(step for step in self._scenarios[index].step if step.applies_to(number))


class ScenarioRunner:
    """Runs the steps of one connection; each connection fault is a task of the group."""

    def __init__(self, steps: Sequence[Step], connection: ConnectionContext, tasks: asyncio.TaskGroup) -> None:
        self._steps = steps
        self._connection = connection
        self._tasks = tasks
        self._counts: Counter[TriggerPoint] = Counter()
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, point: TriggerPoint) -> None:
        """Run the connection faults that are due at this point; return when those without a delay are done."""
        for fault in self._due(point):
            if fault.after_s:
                self._start(fault)
            else:
                await self._apply(fault)

    def start(self, point: TriggerPoint) -> None:
        """Start the connection faults that are due at this point, as tasks."""
        for fault in self._due(point):
            self._start(fault)

    def change(self, plan: TurnPlan) -> TurnPlan:
        """Apply the turn faults that are due to the plan of the turn that has just begun."""
        for step in self._matching(TriggerPoint.TURN):
            if isinstance(step, TurnFault):
                plan = step.apply(plan)
        return plan

    def stop(self) -> None:
        """Cancel the faults that are under way: the connection has ended."""
        for task in self._running:
            task.cancel()

    def _due(self, point: TriggerPoint) -> list[ConnectionFault]:
        self._counts[point] += 1
        return [step for step in self._matching(point) if isinstance(step, ConnectionFault)]

    def _matching(self, point: TriggerPoint) -> list[Step]:
        return [step for step in self._steps if step.on.matches(point, self._counts[point])]

    def _start(self, fault: ConnectionFault) -> None:
        task = self._tasks.create_task(self._apply(fault))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _apply(self, fault: ConnectionFault) -> None:
        await asyncio.sleep(fault.after_s)
        _LOG.info("scenario: %s", fault.do)
        await fault.apply(self._connection)
