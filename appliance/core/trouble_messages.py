"""Spoken sentences for each kind of trouble, and for a light that cannot show its own fault.

Short sentences, recorded by scripts/render-recordings.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from appliance.core.events import Fault, Trouble

TROUBLE_MESSAGES: Final[Mapping[Trouble | Fault, str]] = MappingProxyType(
    {
        Trouble.NETWORK: "There is no network. Check the router.",
        Trouble.CLOCK: "My clock is wrong. Give me a minute.",
        Trouble.REFUSED: "The server won't let me in. Ask who installed me.",
        Trouble.NOT_ENROLLED: "I am not enrolled yet. Ask who installed me.",
        Trouble.SETTINGS: "My settings are wrong. Ask who installed me.",
        Trouble.QUOTA: "My allowance is used up. Try later.",
        Trouble.CAP_SESSION: "We've talked for as long as I'm allowed. Wake me again.",
        Trouble.CAP_DAY: "Today's allowance is used up. Ask me tomorrow.",
        Trouble.CAP_MONTH: "This month's allowance is used up. Ask who installed me.",
        Trouble.SILENT_SERVICE: "I get no answer. Ask me again.",
        Trouble.LOST: "The line broke. Ask me again.",
        Trouble.SERVICE: "The service is down. Ask me later.",
        Trouble.DECLINED: "I may not answer that. Ask me something else.",
        Fault.LIGHT: "My light does not work. Ask who installed me.",
    }
)
