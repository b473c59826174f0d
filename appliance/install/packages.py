"""Step: the system packages that a release needs."""

from typing import Final

from appliance.errors import ExitCode
from appliance.install.machine import Machine
from appliance.install.step import Need, Plan, Step

REQUIRED: Final = ("ca-certificates", "libportaudio2", "python3-systemd")
"""systemd's library for Python is on PyPI as source only; apt has a built one."""
PINS: Final = "python3-lgpio"
"""The GPIO library: in Raspberry Pi's archive, and needed where PyPI has no wheel (Python 3.13)."""
_APT: Final = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300")


class Packages(Step):
    """Installs missing packages, without recommended ones."""

    name = "packages"
    doing = "installing system packages"

    def __init__(self, machine: Machine, python: tuple[int, int]) -> None:
        self._machine = machine
        self._needs_pins_library = python >= (3, 13)
        self._wanted = (*REQUIRED, PINS) if self._needs_pins_library else REQUIRED
        self._before: set[str] = set()

    def check(self) -> Plan:
        """Ask dpkg for missing packages."""
        missing = self._missing()
        if not missing:
            return Plan(Need.NOTHING, "all there")
        return Plan(Need.CHANGE, f"install with apt: {', '.join(missing)}")

    def apply(self) -> None:
        """Update the package lists, and install."""
        self._before = self._installed()
        self._machine.run(*_APT, "update", exit_code=ExitCode.UNAVAILABLE)
        self._machine.run(*_APT, "install", "--no-install-recommends", *self._missing(), exit_code=ExitCode.UNAVAILABLE)

    def verify(self) -> str:
        """Ask dpkg again; raises StepFailed."""
        super().verify()
        return f"installed {', '.join(sorted(self._installed() - self._before))}"

    def undo(self) -> None:
        """Remove the packages that were not there before."""
        more = sorted(self._installed() - self._before)
        if self._before and more:
            self._machine.run(*_APT, "purge", *more)

    def has_pins_library(self) -> bool:
        """Return whether the GPIO library is there, or will come with the release or from apt."""
        return not self._needs_pins_library or PINS in self._installed() or self._has(PINS)

    def _missing(self) -> list[str]:
        installed = self._installed()
        return [name for name in self._wanted if name not in installed and (name != PINS or self._has(name))]

    def _installed(self) -> set[str]:
        result = self._machine.query("dpkg-query", "-W", r"-f=${Package} ${db:Status-Status}\n")
        return {line.split()[0] for line in result.output.splitlines() if line.endswith(" installed")}

    def _has(self, package: str) -> bool:
        """Return whether apt can install a package."""
        policy = self._machine.query("apt-cache", "policy", package).output
        return "Candidate:" in policy and "Candidate: (none)" not in policy
