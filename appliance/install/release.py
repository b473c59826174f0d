"""Step: the release, a directory with all of the appliance and an environment of its own.

``/opt/voice-appliance/releases/<version>-<digest>/`` holds ``bin/appliance``, and every library as ``uv.lock`` has it;
the digest is that of everything that goes into it. A release is whole once it has its `MARK`, and never changes again.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance import __version__
from appliance.errors import ExitCode
from appliance.install.files import scratch, write
from appliance.install.machine import Machine
from appliance.install.step import Need, Plan, Step, StepFailed

HOME: Final = "/opt/voice-appliance"
RELEASES: Final = f"{HOME}/releases"
CURRENT: Final = f"{HOME}/current"
MARK: Final = "release.json"
SBOM: Final = "share/sbom.cdx.json"
"""Bill of materials of a release, without the packages of the system: CycloneDX."""
TEMPLATE: Final = "share/appliance.toml"
"""The settings with their defaults, in a release."""
PYTHON: Final = "/usr/bin/python3"
"""The system's own: the packages of apt that a release relies on are for this one."""
_FOLDERS: Final = ("appliance", "systemd", "config")
_FILES: Final = ("pyproject.toml", "uv.lock", "README.md", "LICENSE")
_FROM_APT: Final = ("systemd-python",)


class Release(Step):
    """Makes the environment from ``uv.lock``, exactly, and puts the appliance into it."""

    name = "release"
    doing = "fetching and installing the appliance"

    def __init__(self, machine: Machine, source: Path, python: tuple[int, int]) -> None:
        self._machine = machine
        self._source = source
        self._digest = digest(source, python)
        self.version = f"{__version__}-{self._digest[:8]}"
        self.folder = machine.at(RELEASES) / self.version
        self.appliance = self.folder / "bin" / "appliance"

    def check(self) -> Plan:
        """Look for the mark."""
        if self.is_whole():
            return Plan(Need.NOTHING, self.version)
        return Plan(Need.CHANGE, f"install {self.version} below {RELEASES}")

    def is_whole(self) -> bool:
        """Say whether it is there already."""
        return (self.folder / MARK).is_file()

    def apply(self) -> None:
        """Make it; raises StepFailed."""
        self.undo()
        with scratch(self._machine.at(HOME) / ".making") as folder:
            self._make(folder)
        self._try()
        mark = {"version": __version__, "sha256": self._digest}
        write(self.folder / MARK, json.dumps(mark, indent=2).encode() + b"\n")

    def undo(self) -> None:
        """Remove what there is of it."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _make(self, folder: Path) -> None:
        """Fetch what ``uv.lock`` names, pack this project, and put both into the environment."""
        run = self._machine.run
        cache = {"UV_CACHE_DIR": str(folder / "cache"), "UV_PROJECT_ENVIRONMENT": str(self.folder)}
        python = self.folder / "bin" / "python"
        # Of the system's packages only those of apt are missing in the lock; all others are the release's own.
        run("uv", "venv", "--quiet", "--system-site-packages", "--python", PYTHON, self.folder, variables=cache)
        left_out = [option for name in _FROM_APT for option in ("--no-install-package", name)]
        run(
            *("uv", "sync", "--quiet", "--frozen", "--no-build", "--no-python-downloads"),
            *("--compile-bytecode", "--extra", "device", "--no-install-project", *left_out),
            folder=self._source,
            variables=cache,
            blame=ExitCode.UNAVAILABLE,
        )
        run("hatchling", "build", "--target", "wheel", "--directory", folder / "wheel", folder=self._source)
        (wheel,) = (folder / "wheel").glob("*.whl")
        run(
            *("uv", "pip", "install", "--quiet", "--no-deps", "--no-index", "--compile-bytecode"),
            *("--python", python, wheel),
            variables=cache,
        )
        for name in ("README.md", "LICENSE"):
            write(self.folder / name, (self._source / name).read_bytes())
        write(self.folder / TEMPLATE, (self._source / "config" / "appliance.toml").read_bytes())
        run(
            *("uv", "export", "--quiet", "--frozen", "--extra", "device", "--format", "cyclonedx1.5"),
            *(option for name in _FROM_APT for option in ("--no-emit-package", name)),
            *("--output-file", self.folder / SBOM),
            folder=self._source,
            variables=cache,
        )

    def _try(self) -> None:
        """Load every library in the release, and compare the wake models with what was measured."""
        answer = self._machine.ask(self.folder / "bin" / "python", "-I", "-m", "appliance.install.inventory")
        if answer.code:
            raise StepFailed(f"the release is not whole: {answer.last_line()}", ExitCode.DATA)


def digest(source: Path, python: tuple[int, int]) -> str:
    """Return the sha256 of all that goes into a release, in hex."""
    hashed = hashlib.sha256(repr(python).encode())
    for file in _ingredients(source):
        hashed.update(f"{file.relative_to(source)}\0{file.stat().st_size}\0".encode())
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


def _ingredients(source: Path) -> Iterator[Path]:
    for folder in _FOLDERS:
        for file in sorted((source / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file
    for name in _FILES:
        yield source / name
