"""The provisioning server as it is run in the field, with a stand-in for Google's token service: programs of their own.

``python -m tests.support.provisiond CA_FILE`` is that stand-in: it prints its address, and answers with the status that
it last read from its standard input.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import trustme

from appliance.provisioning.common import keys
from appliance.provisioning.server.settings import SIGNING_KEY_FILE
from tests.support.provisioning import API_KEY
from tests.support.token_service import token_service

START_S: Final = 60.0
STOP_S: Final = 20.0


class TokenService:
    """The stand-in's program."""

    def __init__(self, url: str, ca_file: Path, orders: IO[str]) -> None:
        self.url = url
        self.ca_file = ca_file
        self._orders = orders

    def answer(self, status: int) -> None:
        """Have it answer with this status from now on."""
        print(status, file=self._orders, flush=True)


@contextmanager
def running_service(home: Path) -> Iterator[TokenService]:
    """Run the stand-in."""
    ca_file = home / "google-ca.pem"
    command = [sys.executable, "-m", "tests.support.provisiond", str(ca_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        if program.stdin is None or program.stdout is None:
            raise AssertionError
        yield TokenService(program.stdout.readline().strip(), ca_file, program.stdin)
        program.stdin.close()


class Server:
    """A home for the server: settings, key and certificate; the program can be started in it again and again."""

    def __init__(self, home: Path, database_url: str, service: TokenService) -> None:
        home.mkdir()
        self.database_url = database_url
        self.url = ""
        self.ca_file = home / "ca.pem"
        pem = keys.new_private_key()
        (home / SIGNING_KEY_FILE).write_text(pem, encoding="ascii")
        public = keys.private_key(pem).public_key()
        self.keys = {keys.thumbprint(public): public}
        """Those that devices trust, by thumbprint."""
        self._config = home / "provisiond.toml"
        self._config.write_text(_settings(home, database_url, service), encoding="ascii")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(home / "tls.pem"))
        self._log = home / "log"
        self._program: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Start it, at the address where it was before; return how long it took until it was ready, in seconds."""
        port = self.url.rpartition(":")[2] or "0"
        command = [sys.executable, "-m", "appliance.provisioning.server", "--config", str(self._config), "--port", port]
        begun = time.monotonic()
        with self._log.open("a", encoding="utf-8") as log:
            self._program = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=_environment({"GEMINI_API_KEY": API_KEY})
            )
        line = self._program.stdout.readline() if self._program.stdout else ""
        if not line:
            raise RuntimeError(f"the server did not start: {self._log.read_text(encoding='utf-8')}")
        taken_s = time.monotonic() - begun
        self.url = json.loads(line)["url"]
        return taken_s

    def stop(self) -> None:
        """End it with SIGTERM."""
        if self._program is not None:
            self._program.send_signal(signal.SIGTERM)
            self._program.communicate(timeout=STOP_S)
            self._program = None

    @property
    def cpu_s(self) -> float:
        """The processor time that it has used since it was started."""
        fields = self._process("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def rss_mb(self) -> float:
        """The memory that it occupies."""
        return int(self._process("statm").split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6

    def _process(self, name: str) -> str:
        if self._program is None:
            raise RuntimeError("not running")
        return Path(f"/proc/{self._program.pid}/{name}").read_text(encoding="utf-8")


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run the server while the block runs."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _settings(home: Path, database_url: str, service: TokenService) -> str:
    values = {
        "tls_certificate": str(home / "tls.pem"),
        "tls_key": str(home / "tls.pem"),
        "state_dir": str(home),
        "database_url": database_url,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    upstream = {"base_url": service.url, "ca_file": str(service.ca_file)}
    return "\n".join([*lines, "[upstream]", *(f"{name} = {json.dumps(value)}" for name, value in upstream.items()), ""])


def _environment(changed: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROVISIOND_")}
    return kept | dict(changed)


async def _stand_in(ca_file: Path) -> None:
    async with token_service(ca_file) as service:
        sys.stdout.write(f"{service.url}\n")
        sys.stdout.flush()

        def order() -> None:
            line = sys.stdin.readline()
            if line:
                service.status = int(line)
            else:
                ended.set()

        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, order)
        while not ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 1)
            service.requests.clear()


if __name__ == "__main__":
    asyncio.run(_stand_in(Path(sys.argv[1])))
