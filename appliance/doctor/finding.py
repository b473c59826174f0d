"""What a check has found."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The installer has findings too, and runs before the libraries of the settings are there.
    from appliance.config.schema import Settings


class Severity(Enum):
    """How much it matters."""

    OK = "ok"
    NOTE = "note"
    """It works, but not as well as it could."""
    PROBLEM = "problem"
    """It does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    severity: Severity
    found: str
    advice: str = ""
    """What to do; empty where nothing is to be done."""


Check = Callable[["Settings"], Finding]
"""Looks at one thing, takes a second, on a small Pi some more, and never raises."""
