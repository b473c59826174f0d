"""What a step of the installation is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from appliance.doctor.finding import Finding
from appliance.errors import ApplianceError, ExitCode, Owner


class StepFailed(ApplianceError):  # noqa: N818  names what has happened
    """A step cannot be done; the message is one line that says why."""

    code = "install"
    owner = Owner.INSTALLER

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Need(Enum):
    """What a step has to do."""

    NOTHING = "nothing"
    """All is as it should be."""
    CHANGE = "change"
    LATER = "later"
    """It is left for another time, as was asked for."""


class Start(Enum):
    """When the daemon is to run."""

    NOW = "now"
    LATER = "later"
    """This may be the image of a machine: nothing of it runs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a step has found, and would do."""

    need: Need
    text: str
    """What is there; where something has to change, what would be done."""


class Step(ABC):
    """One thing that has to be so on the machine."""

    name: ClassVar[str]
    doing: ClassVar[str]
    """What a person who waits for it reads."""

    @abstractmethod
    def check(self) -> Plan:
        """Look, and change nothing; may be called without root, and before the steps ahead of it were done.

        Raises:
            StepFailed: It cannot be done on this machine.
        """

    @abstractmethod
    def apply(self) -> None:
        """Make it so; raises StepFailed or OSError."""

    def verify(self) -> str:
        """Look again after `apply`, and tell what is there now; raises StepFailed where it is not so."""
        found = self.check()
        if found.need is Need.CHANGE:
            raise StepFailed(f"still to be done: {found.text}", ExitCode.BUG)
        return found.text

    @abstractmethod
    def undo(self) -> None:
        """Bring back what was there before `apply`, however far that came; never called without it."""

    def notes(self) -> Sequence[Finding]:
        """Return what else the report is to tell; a problem among them makes the machine unfit."""
        return ()
