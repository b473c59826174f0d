import asyncio
import errno
import json
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from appliance.config.schema import ProvisioningSettings
from appliance.core.state import Mode
from appliance.errors import ExitCode
from appliance.provisioning.common import keys
from appliance.provisioning.common.protocol import Purpose
from appliance.provisioning.device.client import ProvisioningClient
from appliance.provisioning.server import migrate
from appliance.provisioning.server.certificate import make_certificate
from appliance.provisioning.server.program import listen
from appliance.provisioning.server.program import main as provisiond
from appliance.provisioning.server.settings import DATABASE_FILE, SIGNING_KEY_FILE
from appliance.provisioning.server.store import DatabaseStore, open_engine
from tests.support.provisioning import API_KEY, DEVICE, KEY, PEM, TOKEN, server_settings
from tests.support.token_service import token_service

pytestmark = pytest.mark.realtime


@pytest.fixture(autouse=True)
def _signals_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@asynccontextmanager
async def running(config: Path, directory: Path) -> AsyncIterator[Process]:
    arguments = ("-m", "appliance.provisioning.server", "--config", config, "--development", directory, "--port", "0")
    environment = {**os.environ, "GEMINI_API_KEY": API_KEY, "SSLKEYLOGFILE": str(config.with_name("secrets"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, arguments), stdout=PIPE, stderr=PIPE, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _signing_key(directory: Path) -> str:
    return keys.public_key_text(keys.private_key((directory / SIGNING_KEY_FILE).read_text()))


async def test_it_says_when_it_is_ready_serves_a_device_and_ends_on_sigterm(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets"))

    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "httpcore2"):
        async with token_service(tmp_path / "upstream-ca.pem") as service:
            config = tmp_path / "provisiond.toml"
            config.write_text(
                f'[upstream]\nbase_url = "{service.url}"\nca_file = "{tmp_path / "upstream-ca.pem"}"\n'
                f'[devices]\n{DEVICE} = "{keys.public_key_text(KEY)}"\n'
            )
            async with running(config, tmp_path / "tls") as process:
                assert process.stdout
                ready = json.loads(await process.stdout.readline())
                settings = ProvisioningSettings(
                    url=ready["url"],
                    device_id=DEVICE,
                    device_key=SecretStr(PEM),
                    server_keys=(_signing_key(tmp_path / "tls"),),
                    ca_file=ready["ca_file"],
                )
                async with ProvisioningClient(settings, tmp_path) as client:
                    assert (await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)).value == TOKEN
                    assert (await client.fetch_token(Mode.PUSH_TO_TALK, Purpose.RESUME)).value == TOKEN
                    # The device's connection is still open: it must not keep the server.
                    stopped = time.monotonic()
                    process.send_signal(signal.SIGTERM)
                    out, log = await asyncio.wait_for(process.communicate(), 20)
                assert time.monotonic() - stopped < 10.0
                assert (process.returncode, out) == (0, b"")
                for secret in (TOKEN, API_KEY):
                    assert secret.encode() not in log
                assert DEVICE.encode() in log
    assert not (tmp_path / "secrets").exists(), "TLS keeps its secrets"
    assert "httpcore2" in {record.name.partition(".")[0] for record in caplog.records}
    assert TOKEN not in caplog.text


@pytest.mark.slow
async def test_a_closed_terminal_ends_it_in_order(tmp_path):
    config = tmp_path / "provisiond.toml"
    config.write_text("")
    async with running(config, tmp_path / "tls") as process:
        assert process.stdout
        await process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == ExitCode.OK


async def test_ctrl_c_while_it_is_being_imported_ends_it_with_130_and_no_words():
    # The libraries take a second: the signal comes as soon as the first of them is being read.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-v", "-m", "appliance.provisioning.server", stdout=PIPE, stderr=PIPE
    )
    assert process.stderr
    while b"import 'uvicorn'" not in (line := await process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    _, rest = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    assert b"Traceback" not in rest


def test_a_wrong_setting_ends_it_with_78_and_a_line(tmp_path, capsys):
    config = tmp_path / "provisiond.toml"
    config.write_text('modell = "x"\n')
    assert provisiond(["--config", str(config)]) == ExitCode.CONFIGURATION
    lines = capsys.readouterr().err.splitlines()
    assert f"appliance-provisiond: {config}: modell: there is no such setting; did you mean model?" in lines
    assert len(lines) == 2


def test_without_a_certificate_it_does_not_start(capsys, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    assert provisiond([]) == ExitCode.CONFIGURATION
    assert "--development" in capsys.readouterr().err


def test_a_certificate_that_is_none_ends_it_with_78(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("PROVISIOND_TLS_CERTIFICATE", str(tmp_path / "absent.pem"))
    monkeypatch.setenv("PROVISIOND_TLS_KEY", str(tmp_path / "absent.pem"))
    assert provisiond([]) == ExitCode.CONFIGURATION
    assert "absent.pem" in capsys.readouterr().err


def test_a_port_that_is_taken_ends_it_with_69_and_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert provisiond(["--development", str(tmp_path), "--port", port]) == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err.splitlines() == [
        f"appliance-provisiond: cannot listen on 127.0.0.1 port {port}: Address already in use"
    ]


def test_a_taken_port_for_metrics_is_told_as_the_other_one_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("PROVISIOND_METRICS_PORT", port)
        assert provisiond(["--development", str(tmp_path), "--port", "0"]) == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err.splitlines() == [
        f"appliance-provisiond: cannot listen on 127.0.0.1 port {port}: Address already in use"
    ]


def test_a_database_that_is_not_up_yet_ends_it_with_69_so_that_it_is_started_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    monkeypatch.setenv("PROVISIOND_DATABASE_URL", "postgresql://test@127.0.0.1:9/prov?connect_timeout=1")
    assert provisiond(["--development", str(tmp_path)]) == ExitCode.UNAVAILABLE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("appliance-provisiond: the database does not do this now: connection failed")


def test_a_database_that_fails_at_the_start_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    with closing(DatabaseStore(open_engine(f"sqlite:///{tmp_path}/{DATABASE_FILE}"))) as store:
        migrate.upgrade(store.engine)
        store.transact_here(lambda connection: connection.execute(text("DROP TABLE device")))
    assert provisiond(["--development", str(tmp_path)]) == ExitCode.UNAVAILABLE
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "appliance-provisiond: the database does not do this now: no such table: device"


@pytest.mark.parametrize("command", [[], ["admin", "claims", "create", "--url", "https://nas.test"]])
@pytest.mark.parametrize("obstacle", ["a file", "a directory in the place of the database"])
def test_a_state_directory_that_cannot_be_used_is_named(tmp_path, capsys, monkeypatch, command, obstacle):
    state = tmp_path / "state"
    if obstacle == "a file":
        state.touch()
    else:
        (state / DATABASE_FILE).mkdir(parents=True)
    made = make_certificate(tmp_path / "tls")
    for name, value in (("STATE_DIR", state), ("TLS_CERTIFICATE", made.certificate), ("TLS_KEY", made.key)):
        monkeypatch.setenv(f"PROVISIOND_{name}", str(value))
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    assert provisiond(command) == ExitCode.CONFIGURATION
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"appliance-provisiond: state_dir: {state}")
    assert "cannot be used: " in line


def test_the_private_key_made_for_development_is_its_owners_only(tmp_path, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", API_KEY)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        provisiond(["--development", str(tmp_path / "new"), "--port", str(taken.getsockname()[1])])
    assert (tmp_path / "new" / "server-key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("host", "family", "reached"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("::1", socket.AF_INET6, "::1"),
        ("::", socket.AF_INET6, "::1"),
        ("::", socket.AF_INET, "127.0.0.1"),
    ],
)
def test_it_listens_at_one_address_or_at_all_of_both_families(host, family, reached):
    with listen(server_settings(host=host, port=0)) as listener, socket.socket(family) as caller:
        caller.settimeout(5)
        caller.connect((reached, listener.getsockname()[1]))


def test_where_there_is_no_ipv6_the_address_of_all_is_that_of_ipv4(monkeypatch):
    class WithoutIpv6(socket.socket):
        def __init__(self, family=-1, *args, **kwargs):
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *args, **kwargs)

    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    with listen(server_settings(host="::", port=0)) as listener, socket.socket(socket.AF_INET) as caller:
        caller.settimeout(5)
        caller.connect(("127.0.0.1", listener.getsockname()[1]))
    with pytest.raises(OSError, match="not supported"):
        listen(server_settings(host="::1", port=0))
