"""The machine to install on: its files, below a root directory, and its commands."""

import errno
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import ExitCode
from appliance.install.step import StepFailed

LOG: Final = "/var/log/voice-appliance-provision.log"
SERVICE_USER: Final = "voice-appliance"
STATE: Final = "/var/lib/voice-appliance"
_TIMEOUT_S: Final = 3600
"""Enough for packages over a slow network; a hanging command ends after it."""
_DISK_FULL: Final = (os.strerror(errno.ENOSPC), "enough free space")
"""The messages of the system and of apt."""
_ALWAYS: Final = {"PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1", "PYTHONNOUSERSITE": "1"}
"""The ONNX runtime would report its use to its maker."""
_OURS: Final = ("APPLIANCE_", "PROVISIOND_", "PYTHON", "VIRTUAL_ENV", "UV_PROJECT")


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command."""

    code: int
    output: str
    errors: str
    """Its standard error."""

    def last_line(self) -> str:
        """Return its last line, from standard error if there is any."""
        lines = [line.strip() for line in (self.errors or self.output).splitlines() if line.strip()]
        return lines[-1] if lines else "no message"

    def reason(self) -> str:
        """Return the error message of one of our programs, without its name."""
        return self.last_line().partition("error: ")[2] or self.last_line()

    def exit_code(self) -> ExitCode:
        """Return the exit code of one of our programs."""
        return ExitCode(self.code) if self.code in set(ExitCode) else ExitCode.BUG


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine.

    Args:
        root: The root of its file system.
        path: The search path for commands, as in ``$PATH``.
    """

    root: Path
    path: str

    def at(self, place: str | Path) -> Path:
        """Return the location of an absolute path of the machine."""
        return self.root / str(place).lstrip("/")

    def is_booted(self) -> bool:
        """Return whether systemd is running, as it is not in a chroot."""
        return self.at("/run/systemd/system").is_dir()

    def query(self, *command: str | Path) -> CommandResult:
        """Run a command that changes nothing; a missing one has exit code 127."""
        return _run(command, _inherited(self.path))

    def run(
        self,
        *command: str | Path,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
        exit_code: ExitCode = ExitCode.BUG,
    ) -> None:
        """Run a command as root; its output goes to `LOG`.

        Raises:
            StepFailed: It is missing or has failed; exit code 73 where the disk is full, else ``exit_code``.
        """
        result = _run(command, _inherited(self.path) | dict(variables or {}), folder=folder)
        self._log(command, result)
        if result.code:
            name = Path(command[0]).name
            if any(words in result.output + result.errors for words in _DISK_FULL):
                raise StepFailed(f"{name}: the disk is full", ExitCode.CANNOT_WRITE)
            hint = " (is the network up?)" if exit_code is ExitCode.UNAVAILABLE else ""
            raise StepFailed(f"{name} failed{hint}: {result.last_line()}; more in {LOG}", exit_code)

    def run_as_service(self, *command: str | Path, stdin: str = "") -> CommandResult:
        """Run a command as the daemon's user with all its groups, in a clean environment.

        Args:
            command: The command line.
            stdin: Its standard input.
        """
        switch = (
            "setpriv",
            f"--reuid={SERVICE_USER}",
            f"--regid={SERVICE_USER}",
            "--init-groups",
            "--no-new-privs",
            "--",
        )
        state = str(self.at(STATE))
        clean = {"PATH": self.path, "LC_ALL": "C.UTF-8", "HOME": state, "STATE_DIRECTORY": state}
        clean |= {"OMP_NUM_THREADS": "1", **_ALWAYS}
        result = _run((*switch, *command), clean, folder=self.at("/"), stdin=stdin)
        self._log(command, result)
        return result

    def _log(self, command: tuple[str | Path, ...], result: CommandResult) -> None:
        log = self.at(LOG)
        log.parent.mkdir(parents=True, exist_ok=True)
        said = "".join(part.rstrip() + "\n" for part in (result.output, result.errors) if part.strip())
        with open(log, "a", encoding="utf-8", opener=_private) as stream:
            stream.write(f"$ {' '.join(map(str, command))}\n{said}-> {result.code}\n")


def _run(
    command: tuple[str | Path, ...], environment: Mapping[str, str], *, folder: Path | None = None, stdin: str = ""
) -> CommandResult:
    try:
        done = subprocess.run(  # noqa: S603  commands are ours, and no shell reads them
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=folder,
            env=environment,
            timeout=_TIMEOUT_S,
        )
    except FileNotFoundError:
        return CommandResult(127, "", f"{command[0]} is not installed")
    except subprocess.TimeoutExpired:
        return CommandResult(124, "", f"still running after {_TIMEOUT_S} s")
    return CommandResult(done.returncode, done.stdout, done.stderr)


def _inherited(path: str) -> dict[str, str]:
    """Return this environment, for its proxies and certificates, without variables that change Python's behaviour."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"PATH": path, "LC_ALL": "C.UTF-8", **_ALWAYS}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
