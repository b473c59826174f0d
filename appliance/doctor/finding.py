"""The result of a check."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The installer has findings too, and runs before pydantic is installed.
    from appliance.config.schema import Settings


class Severity(Enum):
    """Seriousness of a finding."""

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
    """Remedy; empty if none is needed."""


Check = Callable[["Settings"], Finding]
"""Checks one thing. Takes a second, longer on a small Pi; never raises."""
