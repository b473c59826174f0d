"""The demo's programs: a Live service and a provisioning server, on loopback; and a sound card in a room."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any, Final

from appliance.clock import timeout
from appliance.errors import ApplianceError, ExitCode
from appliance.provisioning.common.keys import new_private_key, private_key, public_key_text

START_S: Final = 30.0
"""A slow Raspberry Pi takes ten seconds to import a server's modules."""
STOP_S: Final = 5.0
API_KEY: Final = "a-key-for-the-simulator"
DEVICE: Final = "demo"
Tables = dict[str, dict[str, str]]
UNREACHABLE_URL: Final = "https://127.0.0.1:9"
"""The discard port, closed everywhere."""


class Service(Enum):
    """The Live service."""

    SIMULATOR = "simulator"
    GOOGLE = "google"


class Mishap(Enum):
    """A failure to demonstrate."""

    NONE = "none"
    REFUSED_TOKEN = "refused-token"  # noqa: S105  no password
    """The provisioning server does not know this device."""
    DEAD_SERVER = "dead-server"
    """The provisioning server is unreachable."""


class ServerStartError(ApplianceError):
    """A server did not start."""

    code = "demo-world"
    exit_code = ExitCode.UNAVAILABLE


@asynccontextmanager
async def run_servers(
    directory: Path, service: Service, mishap: Mishap, link_delay_s: float, *, voices_only: bool
) -> AsyncIterator[dict[str, Any]]:
    """Run the servers; yield the daemon's settings for them.

    With ``voices_only``, the simulator does not take every sound for speech, such as the little that is left of an
    echo. When it stops, it has written what it received to ``directory/records``.

    Raises:
        ServerStartError: A server does not start; the message quotes its last line.
    """
    key = new_private_key()
    key_file = directory / "device.pem"
    _write(key_file, key)
    known = {} if mishap is Mishap.REFUSED_TOKEN else {DEVICE: public_key_text(private_key(key))}
    settings: Tables = {"": {}, "devices": known}
    live: dict[str, Any] = {}
    async with _simulator(directory, service, link_delay_s, voices_only=voices_only) as simulator:
        if simulator:
            settings["upstream"] = {name: simulator[name] for name in ("base_url", "ca_file")}
            settings[""] = {"live_base_url": simulator["base_url"]}
            live = {"ca_file": simulator["ca_file"]}
        async with _provisiond(directory, settings, service) as server:
            url = server["url"] if mishap is not Mishap.DEAD_SERVER else UNREACHABLE_URL
            server_key = private_key((directory / "provisiond" / "signing-key.pem").read_text(encoding="ascii"))
            provisioning = {
                "url": url,
                "ca_file": server["ca_file"],
                "device_id": DEVICE,
                "device_key_file": key_file,
                "server_keys": [public_key_text(server_key)],
                "prefetch": "never",
            }
            yield {"provisioning": provisioning, "live": live}


@asynccontextmanager
async def run_room(directory: Path, recording: Path, distance_m: float) -> AsyncIterator[None]:
    """Run a virtual sound card in a room, which this process and those that it starts find by name.

    The recording is what the person says. When it stops, the card has written what was at its jacks to ``directory``.

    Raises:
        ServerStartError: It does not start; the message quotes its last line.
    """
    options = ["--room", str(distance_m), "--mic", str(recording), "--record", str(_make_directory(directory))]
    async with _program(directory, "appliance.virtual_card", options, dict(os.environ)) as ready:
        os.environ.update(ready["environment"])
        yield


@asynccontextmanager
async def _simulator(
    directory: Path, service: Service, link_delay_s: float, *, voices_only: bool
) -> AsyncIterator[dict[str, Any] | None]:
    if service is Service.GOOGLE:
        yield None
        return
    records = _make_directory(directory / "records")
    options = [
        "--directory",
        str(directory),
        "--record",
        str(records),
        "--link-delay",
        str(link_delay_s),
        *(["--voices-only"] if voices_only else []),
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
    own = _make_directory(directory / "provisiond")
    options = ["--config", str(config), "--port", "0", "--development", str(own)]
    async with _program(directory, "appliance.provisioning.server", options, _environment(service)) as ready:
        yield ready


def _environment(service: Service) -> dict[str, str]:
    """Return the provisioning server's environment, without settings meant for another server on this computer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROVISIOND_")}
    kept.pop("CREDENTIALS_DIRECTORY", None)
    if service is Service.SIMULATOR:
        kept["GEMINI_API_KEY"] = API_KEY
        # The simulator cannot be reached through a proxy.
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
    return kept


@asynccontextmanager
async def _program(
    directory: Path, module: str, options: Sequence[str], environment: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    """Run one of our programs; yield the JSON line that it prints when it is ready."""
    log = directory / f"{module}.log"
    with _disk_errors(directory):
        stderr = log.open("wb")
    with stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "appliance.demo.run_with_parent", module, *options,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        yield await _ready(process, module, log)
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
    with _disk_errors(file.parent):
        file.write_text(text, encoding="utf-8")


def _make_directory(directory: Path) -> Path:
    with _disk_errors(directory.parent):
        directory.mkdir()
    return directory


@contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServerStartError(f"cannot write in {directory}: {error.strerror}; is the disk full?") from error


async def _ready(process: asyncio.subprocess.Process, module: str, log: Path) -> dict[str, Any]:
    if process.stdout is None:
        raise AssertionError
    try:
        async with asyncio.timeout(START_S):
            line = await process.stdout.readline()
        return dict(json.loads(line))
    except (TimeoutError, ValueError) as error:
        raise ServerStartError(f"{module} does not start; its last output was: {_last_line(log)}") from error


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"


def _toml(tables: Tables) -> str:
    """Serialise tables of strings, the unnamed one first; a JSON string is a TOML string."""
    lines: list[str] = []
    for table, entries in tables.items():
        lines += [f"[{table}]"] if table else []
        lines += [f"{name} = {json.dumps(value)}" for name, value in entries.items()]
    return "\n".join(lines) + "\n"
