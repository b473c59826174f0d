"""The world outside the machine: a provisioning server, its operator, and the simulator behind it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.errors import ExitCode
from appliance.provisioning.server.admin import command

PROJECT = Path(__file__).resolve().parents[2]
_KEY = "a-key-for-the-simulator"


@dataclass
class Outside:
    """Where the server is, and who runs it."""

    url: str
    trusted: Path
    """The server's certificate."""
    config: Path

    def admin(self, *words: str) -> Any:
        """Do a command of the operator, and return its answer."""
        said = io.StringIO()
        with redirect_stdout(said):
            assert command.main(["--config", str(self.config), "--json", *words]) == ExitCode.OK
        return json.loads(said.getvalue() or "null")

    def join_string(self, *options: str) -> str:
        """Make a claim, and return its join string."""
        return str(self.admin("claims", "create", "--url", self.url, *options)["join"])

    def devices(self) -> dict[str, str]:
        """Return the status of each device."""
        return {device["id"]: device["status"] for device in self.admin("devices", "list")}

    def sessions(self, device: str) -> int:
        """Return how many tokens a device was given."""
        return sum(int(row["sessions"]) for row in self.admin("usage") if row["id"] == device)


@dataclass
class World(Outside):
    """The same, with a Live service that takes its tokens."""

    live_trusted: Path


@contextmanager
def provisioning_server(folder: Path, settings: str = "") -> Iterator[Outside]:
    """Run a provisioning server."""
    config = folder / "provisiond.toml"
    config.write_text(f'state_dir = "{folder / "state"}"\n{settings}')
    options = ("--config", config, "--port", "0", "--development", folder / "state")
    with _program("appliance.provisioning.server", *options, GEMINI_API_KEY=_KEY) as ready:
        yield Outside(ready["url"], Path(ready["ca_file"]), config)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Run the simulator, and a provisioning server."""
    (folder / "live").mkdir()
    with _program("appliance.simulator", "--directory", folder / "live", "--api-key", _KEY) as simulator:
        url, trusted = simulator["base_url"], simulator["ca_file"]
        settings = f'live_base_url = "{url}"\n[upstream]\nbase_url = "{url}"\nca_file = "{trusted}"\n'
        with provisioning_server(folder, settings) as server:
            yield World(server.url, server.trusted, server.config, Path(trusted))


@contextmanager
def _program(module: str, *options: str | Path, **variables: str) -> Iterator[dict[str, Any]]:
    with subprocess.Popen(
        [sys.executable, "-m", module, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=PROJECT,
        env=os.environ | variables,
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
