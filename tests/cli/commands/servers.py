"""A provisioning server on loopback, over TLS, for commands that have an event loop of their own."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvicorn

from appliance.cli.main import main
from appliance.provisioning.common import keys
from tests.support import devices
from tests.support.provisioning import OPEN, SERVER_KEY, World, world

Application = Callable[[Any, Any, Any], Any]


class Front:
    """One listener for all tests; ``application`` is what stands behind it, for now."""

    def __init__(self, directory: Path) -> None:
        self.application: Application | None = None
        self.ca_file = directory / "ca.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(directory / "tls.pem"))
        config = uvicorn.Config(
            self._serve, ssl_certfile=directory / "tls.pem", lifespan="off", interface="asgi3", log_config=None
        )
        self._server = uvicorn.Server(config)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.application is not None
        await self.application(scope, receive, send)

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.005)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        with suppress(OSError):
            self._listener.close()


@dataclass
class Served:
    """A server, and a device that may come to enrol."""

    here: World
    front: Front
    directory: Path

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def join(self, server_key: keys.PrivateKey = SERVER_KEY, url: str = "", **terms: Any) -> str:
        """Return a new join string."""
        return devices.join(self.here.claim(**terms), server_key, url or self.front.url).text()

    def join_file(self, text: str = "", **changed: Any) -> Path:
        file = self.directory / "join"
        file.write_text(text or self.join(**changed))
        return file

    def appliance(self, command: str, *arguments: object, **provisioning: object) -> int:
        """Run a command; return its exit code."""
        config = self.directory / "appliance.toml"
        values = {"ca_file": self.front.ca_file, **provisioning}
        config.write_text("[provisioning]\n" + "".join(f'{name} = "{value}"\n' for name, value in values.items()))
        with pytest.raises(SystemExit) as caught:
            main([command, "--config", str(config), "--state", str(self.state), *map(str, arguments)])
        code = caught.value.code
        assert isinstance(code, int)
        return code

    def enrol(self) -> None:
        assert self.appliance("enrol", "--join-file", self.join_file()) == 0

    @property
    def device_id(self) -> str:
        """The one that has enrolled."""
        return str(self.here.work(lambda connection: connection.exec_driver_sql("SELECT id FROM device").scalar()))

    @property
    def status(self) -> str:
        return str(self.here.work(lambda connection: connection.exec_driver_sql("SELECT status FROM device").scalar()))


@pytest.fixture(scope="session")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    front = Front(tmp_path_factory.mktemp("server"))
    front.start()
    yield front
    front.stop()


@pytest.fixture
def served(_front: Front, tmp_path: Path) -> Iterator[Served]:
    here = world(devices={})
    _front.application = here.app
    yield Served(here, _front, tmp_path)
    OPEN.remove(here.store)
    here.store.close()


class Terminal(io.StringIO):
    """Terminal with typed input."""

    def isatty(self) -> bool:
        return True


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("appliance: error: ")
    return str(line)
