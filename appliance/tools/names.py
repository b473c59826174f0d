"""Names of the tools that can be offered to the model, for code that does not have the tools. Pure."""

from typing import Final

from appliance.live.ports import GOOGLE_SEARCH

BUILT_IN: Final = ("get_time", "end_conversation", "set_volume", "forget_conversation")
"""The functions of `appliance.tools.builtin`."""
NAMES: Final = (*BUILT_IN, GOOGLE_SEARCH)
"""Those, and what the service runs itself."""
