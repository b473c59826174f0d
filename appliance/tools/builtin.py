"""The built-in tools. Each returns at once; the parts that they act on are passed in."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from appliance.live.ports import GOOGLE_SEARCH
from appliance.tools.registry import Function

BUILT_IN: Final = ("get_time", "end_conversation", "set_volume", "forget_conversation")
"""Names of the functions below."""
NAMES: Final = (*BUILT_IN, GOOGLE_SEARCH)
"""All tools that the model can be offered: those, and the search that the service runs itself."""

Percent = Annotated[int, Field(ge=0, le=100, description="0 is silent, 100 is as loud as it gets")]


def builtin(
    now: Callable[[], datetime],
    end: Callable[[], None],
    set_gain: Callable[[float], None],
    forget: Callable[[], None],
) -> tuple[Function, ...]:
    """Return the built-in tools.

    Args:
        now: The wall clock, with its time zone (`appliance.clock.local_now`).
        end: Ends the conversation after the reply.
        set_gain: Sets the gain of playback, 0 to 1.
        forget: Erases this conversation, so that the next one starts anew.
    """

    def get_time() -> dict[str, str]:
        """Tell the date and the time of day where this device is."""
        moment = now()
        return {
            "date": f"{moment:%Y-%m-%d}",
            "weekday": f"{moment:%A}",
            "time": f"{moment:%H:%M:%S}",
            "zone": f"{moment:%Z (UTC%z)}",
        }

    def end_conversation() -> dict[str, str]:
        """End this conversation, once the person has said goodbye; say your last words first."""
        end()
        return {}

    def set_volume(percent: Percent) -> dict[str, int]:
        """Set how loud this device speaks."""
        set_gain(percent / 100)
        return {"percent": percent}

    def forget_conversation() -> dict[str, str]:
        """Forget, once this conversation has ended, all that was said in it."""
        forget()
        return {}

    return get_time, end_conversation, set_volume, forget_conversation
