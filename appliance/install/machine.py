"""The machine that is installed on: its files, below a root, and its commands."""

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
_PATIENCE_S: Final = 3600
"""A slow network may bring packages for long; a hanging command ends some time."""
_FULL: Final = (os.strerror(errno.ENOSPC), "enough free space")
"""What the system says, and what apt says."""
_ALWAYS: Final = {"PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1", "PYTHONNOUSERSITE": "1"}
"""The ONNX runtime would report its use to its maker."""
_OURS: Final = ("APPLIANCE_", "PROVISIOND_", "PYTHON", "VIRTUAL_ENV", "UV_PROJECT")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    code: int
    output: str
    complaint: str
    """Its standard error."""

    def last_line(self) -> str:
        """Return the last thing that it said, complaints first."""
        lines = [line.strip() for line in (self.complaint or self.output).splitlines() if line.strip()]
        return lines[-1] if lines else "it did not say why"

    def reason(self) -> str:
        """Return what a program of ours has said last, without its name."""
        return self.last_line().partition("error: ")[2] or self.last_line()

    def exit_code(self) -> ExitCode:
        """Return what the end of a program of ours means."""
        return ExitCode(self.code) if self.code in set(ExitCode) else ExitCode.BUG


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine.

    Args:
        root: Where its file system begins.
        path: Where its commands are looked for, as in ``$PATH``.
    """

    root: Path
    path: str

    def at(self, place: str | Path) -> Path:
        """Return where an absolute path of the machine is."""
        return self.root / str(place).lstrip("/")

    def is_booted(self) -> bool:
        """Say whether systemd runs it; not so in a chroot."""
        return self.at("/run/systemd/system").is_dir()

    def ask(self, *command: str | Path) -> Answer:
        """Run a command that changes nothing; one that is not there ends with 127."""
        return _answer(command, _inherited(self.path))

    def run(
        self,
        *command: str | Path,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
        blame: ExitCode = ExitCode.BUG,
    ) -> None:
        """Run a command as root; what it says goes to `LOG`.

        Raises:
            StepFailed: It is not there or has failed; exit code 73 where the disk is full, else ``blame``.
        """
        answer = _answer(command, _inherited(self.path) | dict(variables or {}), folder=folder)
        self._note(command, answer)
        if answer.code:
            name = Path(command[0]).name
            if any(words in answer.output + answer.complaint for words in _FULL):
                raise StepFailed(f"{name}: the disk is full", ExitCode.CANNOT_WRITE)
            hint = " (is the network up?)" if blame is ExitCode.UNAVAILABLE else ""
            raise StepFailed(f"{name} failed{hint}: {answer.last_line()}; more in {LOG}", blame)

    def run_as_service(self, *command: str | Path, said: str = "") -> Answer:
        """Run a command as the daemon's user with all its groups, and nothing of this environment.

        Args:
            command: What to run.
            said: Its standard input.
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
        answer = _answer((*switch, *command), clean, folder=self.at("/"), said=said)
        self._note(command, answer)
        return answer

    def _note(self, command: tuple[str | Path, ...], answer: Answer) -> None:
        log = self.at(LOG)
        log.parent.mkdir(parents=True, exist_ok=True)
        said = "".join(part.rstrip() + "\n" for part in (answer.output, answer.complaint) if part.strip())
        with open(log, "a", encoding="utf-8", opener=_private) as stream:
            stream.write(f"$ {' '.join(map(str, command))}\n{said}-> {answer.code}\n")


def _answer(
    command: tuple[str | Path, ...], environment: Mapping[str, str], *, folder: Path | None = None, said: str = ""
) -> Answer:
    try:
        done = subprocess.run(  # noqa: S603  commands are ours, and no shell reads them
            command,
            input=said,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=folder,
            env=environment,
            timeout=_PATIENCE_S,
        )
    except FileNotFoundError:
        return Answer(127, "", f"{command[0]} is not there")
    except subprocess.TimeoutExpired:
        return Answer(124, "", f"no end after {_PATIENCE_S} s")
    return Answer(done.returncode, done.stdout, done.stderr)


def _inherited(path: str) -> dict[str, str]:
    """Return this environment, for its proxies and certificates, without what would lead Python astray."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return kept | {"PATH": path, "LC_ALL": "C.UTF-8", **_ALWAYS}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
