"""What can be offered to the model, by name: known where the tools themselves are not. Pure."""

from typing import Final

from appliance.live.ports import GOOGLE_SEARCH

BUILT_IN: Final = ("get_time", "end_conversation", "set_volume", "forget_conversation")
"""The functions of `appliance.tools.builtin`."""
NAMES: Final = (*BUILT_IN, GOOGLE_SEARCH)
"""Those, and what the service runs itself."""
