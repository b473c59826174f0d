"""The interface of a step of the installation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from appliance.doctor.finding import Finding
from appliance.errors import ApplianceError, ExitCode, Owner


class StepFailed(ApplianceError):  # noqa: N818  names what has happened
    """A step failed; the message is one line that says why."""

    code = "install"
    owner = Owner.INSTALLER

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Need(Enum):
    """Whether a step has anything to do."""

    NOTHING = "nothing"
    """Everything is as it should be."""
    CHANGE = "change"
    LATER = "later"
    """Left for later, because of ``--no-start``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The findings of a step, and what it would do."""

    need: Need
    text: str
    """The state of the machine; where it has to change, the change."""


class Step(ABC):
    """One part of the machine's desired state."""

    name: ClassVar[str]
    doing: ClassVar[str]
    """Shown while it is applied."""

    @abstractmethod
    def check(self) -> Plan:
        """Compare with the machine, and change nothing; may run without root, and before earlier steps are applied.

        Raises:
            StepFailed: The step is impossible on this machine.
        """

    @abstractmethod
    def apply(self) -> None:
        """Change the machine; raises StepFailed or OSError."""

    def verify(self) -> str:
        """Check again after `apply`, and return the new state; raises StepFailed where something is still to do."""
        found = self.check()
        if found.need is Need.CHANGE:
            raise StepFailed(f"still to be done: {found.text}", ExitCode.BUG)
        return found.text

    @abstractmethod
    def undo(self) -> None:
        """Restore the state before `apply`, however far that came; only called after it."""

    def notes(self) -> Sequence[Finding]:
        """Return findings for the report; a problem among them makes the machine unfit."""
        return ()
