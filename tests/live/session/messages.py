"""Messages for tests of the manager, and a wait of some of its beats."""

import asyncio

from appliance.live.messages import GoAway, HandleUpdated, ToolCall
from appliance.live.ports import ToolResult
from appliance.units import Seconds

CALL = ToolCall("1", "get_time", {})
RESULT = ToolResult("1", "get_time", {"time": "noon"})
H = HandleUpdated("h")
SOON = GoAway(Seconds(50.0))


async def beats(number: int = 2) -> None:
    """Let the manager look after its link."""
    await asyncio.sleep(0.25 * number + 0.01)
