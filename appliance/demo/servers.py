"""The outside of a demo: a Live service and a provisioning server, each a program of its own on loopback."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any, Final

from appliance.errors import ApplianceError, ExitCode
from appliance.provisioning.common.keys import new_private_key, private_key, public_key_text
from appliance.timeout import timeout

START_S: Final = 30.0
"""A slow Raspberry Pi takes ten seconds to import all that a server needs."""
STOP_S: Final = 5.0
API_KEY: Final = "a-key-for-the-simulator"
DEVICE: Final = "demo"
Tables = dict[str, dict[str, str]]
NOBODY: Final = "https://127.0.0.1:9"
"""The discard port: closed everywhere."""


class Service(Enum):
    """Who answers."""

    SIMULATOR = "simulator"
    GOOGLE = "google"


class Mishap(Enum):
    """What can be made to go wrong, to see how the appliance takes it."""

    NONE = "none"
    REFUSED_TOKEN = "refused-token"  # noqa: S105  no password
    """The provisioning server does not know this device."""
    DEAD_SERVER = "dead-server"
    """Nobody answers at the provisioning server's address."""


class WorldError(ApplianceError):
    """A server of the demo did not start."""

    code = "demo-world"
    exit_code = ExitCode.UNAVAILABLE


@asynccontextmanager
async def world(
    directory: Path, service: Service, mishap: Mishap, link_delay_s: float
) -> AsyncIterator[dict[str, Any]]:
    """Start the servers and stop them again; yield where they are, as overrides of the daemon's settings.

    Once stopped, the simulator has written what it received to ``directory/records``.

    Raises:
        WorldError: One does not start; the message holds what it said last.
    """
    key = new_private_key()
    key_file = directory / "device.pem"
    _write(key_file, key)
    known = {} if mishap is Mishap.REFUSED_TOKEN else {DEVICE: public_key_text(private_key(key))}
    settings: Tables = {"": {}, "devices": known}
    live: dict[str, Any] = {}
    async with _simulator(directory, service, link_delay_s) as simulator:
        if simulator:
            settings["upstream"] = {name: simulator[name] for name in ("base_url", "ca_file")}
            settings[""] = {"live_base_url": simulator["base_url"]}
            live = {"ca_file": simulator["ca_file"]}
        async with _provisiond(directory, settings, service) as server:
            url = server["url"] if mishap is not Mishap.DEAD_SERVER else NOBODY
            own = private_key((directory / "provisiond" / "signing-key.pem").read_text(encoding="ascii"))
            provisioning = {
                "url": url,
                "ca_file": server["ca_file"],
                "device_id": DEVICE,
                "device_key_file": key_file,
                "server_keys": [public_key_text(own)],
                "prefetch": "never",
            }
            yield {"provisioning": provisioning, "live": live}


@asynccontextmanager
async def _simulator(directory: Path, service: Service, link_delay_s: float) -> AsyncIterator[dict[str, Any] | None]:
    if service is Service.GOOGLE:
        yield None
        return
    records = _made(directory / "records")
    options = [
        "--directory",
        str(directory),
        "--record",
        str(records),
        "--link-delay",
        str(link_delay_s),
        "--thinking",
        "0.6",
        "--api-key",
        API_KEY,
    ]
    async with _program(directory, "appliance.simulator", options, dict(os.environ)) as ready:
        yield ready


@asynccontextmanager
async def _provisiond(directory: Path, settings: Tables, service: Service) -> AsyncIterator[dict[str, Any]]:
    config = directory / "provisiond.toml"
    _write(config, _toml(settings))
    own = _made(directory / "provisiond")
    options = ["--config", str(config), "--port", "0", "--development", str(own)]
    async with _program(directory, "appliance.provisioning.server", options, _environment(service)) as ready:
        yield ready


def _environment(service: Service) -> dict[str, str]:
    """Return the environment of the provisioning server: none of the settings of another one that runs here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROVISIOND_")}
    kept.pop("CREDENTIALS_DIRECTORY", None)
    if service is Service.SIMULATOR:
        kept["GEMINI_API_KEY"] = API_KEY
        # No proxy leads to the simulator.
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    return kept


@asynccontextmanager
async def _program(
    directory: Path, module: str, options: Sequence[str], environment: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    """Run one of our own programs; yield the JSON line with which it says that it is ready."""
    words = directory / f"{module}.log"
    with _writing(directory):
        stderr = words.open("wb")
    with stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "appliance.demo.run_with_parent", module, *options,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        yield await _ready(process, module, words)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _write(file: Path, text: str) -> None:
    with _writing(file.parent):
        file.write_text(text, encoding="utf-8")


def _made(directory: Path) -> Path:
    with _writing(directory.parent):
        directory.mkdir()
    return directory


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorldError(f"{directory} takes no files: {error.strerror}; is the disk full?") from error


async def _ready(process: asyncio.subprocess.Process, module: str, words: Path) -> dict[str, Any]:
    if process.stdout is None:
        raise AssertionError
    try:
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
        return dict(json.loads(line))
    except (TimeoutError, ValueError) as error:
        raise WorldError(f"{module} does not start; it said: {_last_line(words)}") from error


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"


def _toml(tables: Tables) -> str:
    """Write tables of strings, the unnamed one first; a JSON string is a TOML string."""
    lines: list[str] = []
    for table, entries in tables.items():
        lines += [f"[{table}]"] if table else []
        lines += [f"{name} = {json.dumps(value)}" for name, value in entries.items()]
    return "\n".join(lines) + "\n"
