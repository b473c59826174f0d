"""All that a step of a scenario can do, by name."""

from typing import Annotated, Final, get_args

from pydantic import Field

from appliance.simulator.scenario.connection_faults import AnyAct
from appliance.simulator.scenario.steps import Step
from appliance.simulator.scenario.turn_faults import AnyAlteration

AnyStep = Annotated[AnyAct | AnyAlteration, Field(discriminator="do")]

DEEDS: Final[dict[str, type[Step]]] = {
    get_args(kind.model_fields["do"].annotation)[0]: kind for kind in (*get_args(AnyAct), *get_args(AnyAlteration))
}
"""Every ``do`` and its kind."""
