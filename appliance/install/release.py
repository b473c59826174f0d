"""Steps: the release, a directory with the appliance and a Python environment, and the removal of old ones.

``/opt/voice-appliance/releases/<version>-<digest>/`` holds ``bin/appliance``, and every library as ``uv.lock`` has it;
the digest is that of its sources. A release is complete once it has its `MARK`, and never changes again.
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
STARTED: Final = "started"
"""An empty file in a release whose daemon has been ready once: a release to go back to."""
KEPT: Final = 2
"""The current release, and the newest of the others; one that has run comes before one that has not."""
SBOM: Final = "share/sbom.cdx.json"
"""Bill of materials of a release, without the packages of the system: CycloneDX."""
TEMPLATE: Final = "share/appliance.toml"
"""The settings with their defaults, in a release."""
PYTHON: Final = "/usr/bin/python3"
"""The system's Python: apt's packages, which a release needs, are for this one."""
_FOLDERS: Final = ("appliance", "systemd", "config")
_DOCUMENTS: Final = ("README.md", "LICENSE", "docs/installing.md", "docs/using.md")
"""Copied into a release: the device may be without a network when somebody needs them."""
_FILES: Final = ("pyproject.toml", "uv.lock", *_DOCUMENTS)
_FROM_APT: Final = ("systemd-python",)


class Release(Step):
    """Builds the environment from exactly ``uv.lock``, and installs the appliance into it."""

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
        if self.is_complete():
            return Plan(Need.NOTHING, self.version)
        return Plan(Need.CHANGE, f"install {self.version} below {RELEASES}")

    def is_complete(self) -> bool:
        """Return whether it is complete."""
        return (self.folder / MARK).is_file()

    def apply(self) -> None:
        """Build it; raises StepFailed."""
        self.undo()
        with scratch(self._machine.at(HOME) / ".making") as folder:
            self._build(folder)
        self._check_release()
        mark = {"version": __version__, "sha256": self._digest}
        write(self.folder / MARK, json.dumps(mark, indent=2).encode() + b"\n")

    def undo(self) -> None:
        """Remove it, as far as it was built."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _build(self, folder: Path) -> None:
        """Fetch the packages in ``uv.lock``, build this project, and install both into the environment."""
        run = self._machine.run
        cache = {"UV_CACHE_DIR": str(folder / "cache"), "UV_PROJECT_ENVIRONMENT": str(self.folder)}
        python = self.folder / "bin" / "python"
        # System packages are visible for those that come from apt; all others are installed from the lock.
        run("uv", "venv", "--quiet", "--system-site-packages", "--python", PYTHON, self.folder, variables=cache)
        left_out = [option for name in _FROM_APT for option in ("--no-install-package", name)]
        run(
            *("uv", "sync", "--quiet", "--frozen", "--no-build", "--no-python-downloads"),
            *("--compile-bytecode", "--extra", "device", "--no-install-project", *left_out),
            folder=self._source,
            variables=cache,
            exit_code=ExitCode.UNAVAILABLE,
        )
        run("hatchling", "build", "--target", "wheel", "--directory", folder / "wheel", folder=self._source)
        (wheel,) = (folder / "wheel").glob("*.whl")
        run(
            *("uv", "pip", "install", "--quiet", "--no-deps", "--no-index", "--compile-bytecode"),
            *("--python", python, wheel),
            variables=cache,
        )
        for name in _DOCUMENTS:
            write(self.folder / name, (self._source / name).read_bytes())
        write(self.folder / TEMPLATE, (self._source / "config" / "appliance.toml").read_bytes())
        run(
            *("uv", "export", "--quiet", "--frozen", "--extra", "device", "--format", "cyclonedx1.5"),
            *(option for name in _FROM_APT for option in ("--no-emit-package", name)),
            *("--output-file", self.folder / SBOM),
            folder=self._source,
            variables=cache,
        )

    def _check_release(self) -> None:
        """Load every library in the release, and compare the wake models with their digests."""
        result = self._machine.query(self.folder / "bin" / "python", "-I", "-m", "appliance.install.check_release")
        if result.code:
            raise StepFailed(f"the release is incomplete: {result.last_line()}", ExitCode.DATA)


class Cleanup(Step):
    """Removes older releases, and incomplete ones."""

    name = "old releases"
    doing = "removing old releases"

    def __init__(self, machine: Machine, release: Release) -> None:
        self._machine = machine
        self._release = release

    def check(self) -> Plan:
        """List the releases beside those that are kept."""
        old = [folder.name for folder in self._old()]
        if old:
            return Plan(Need.CHANGE, f"remove {', '.join(old)}")
        return Plan(Need.NOTHING, "none")

    def apply(self) -> None:
        """Remove them."""
        for folder in self._old():
            shutil.rmtree(folder)

    def undo(self) -> None:
        """Do nothing: a half removed release is of no use."""

    def _old(self) -> list[Path]:
        """Return all but the newest `KEPT`; the current one and this one count as newest."""
        serving = {self._release.folder, self._machine.at(CURRENT).resolve()}
        others = [folder for folder in self._machine.at(RELEASES).glob("*") if folder not in serving]
        complete = sorted((folder for folder in others if (folder / MARK).is_file()), key=_age_rank, reverse=True)
        kept = set(complete[: max(0, KEPT - len(serving))])
        return sorted(folder for folder in others if folder not in kept)


def digest(source: Path, python: tuple[int, int]) -> str:
    """Return the sha256 of a release's sources, in hex."""
    hashed = hashlib.sha256(repr(python).encode())
    for file in _sources(source):
        hashed.update(f"{file.relative_to(source)}\0{file.stat().st_size}\0".encode())
        hashed.update(file.read_bytes())
    return hashed.hexdigest()


def _sources(source: Path) -> Iterator[Path]:
    for folder in _FOLDERS:
        for file in sorted((source / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file
    for name in _FILES:
        yield source / name


def _age_rank(folder: Path) -> tuple[bool, float]:
    """Return the sort key of a release: those that have run, then the newest, are kept first."""
    return (folder / STARTED).is_file(), (folder / MARK).stat().st_mtime
