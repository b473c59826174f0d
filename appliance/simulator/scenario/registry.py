"""All faults, by the name that a scenario's ``do`` gives them."""

from typing import Annotated, Final, get_args

from pydantic import Field

from appliance.simulator.scenario.connection_faults import AnyConnectionFault
from appliance.simulator.scenario.steps import Step
from appliance.simulator.scenario.turn_faults import AnyTurnFault

AnyStep = Annotated[AnyConnectionFault | AnyTurnFault, Field(discriminator="do")]

FAULTS: Final[dict[str, type[Step]]] = {
    get_args(kind.model_fields["do"].annotation)[0]: kind
    for kind in (*get_args(AnyConnectionFault), *get_args(AnyTurnFault))
}
