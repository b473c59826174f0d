"""The client over real TLS on loopback."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from appliance.config.schema import ProvisioningSettings
from appliance.core.state import Mode
from appliance.errors import ClockWrong, ProvisioningUnreachable
from appliance.provisioning.common.protocol import Purpose
from appliance.provisioning.device.client import ProvisioningClient
from tests.support.provisioning import DEVICE, PEM, SERVER_KEYS, dead_address

pytestmark = pytest.mark.realtime


@asynccontextmanager
async def listener(certificate: trustme.LeafCert) -> AsyncIterator[str]:
    """Yield the address of a server that only shakes hands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        if open_connections := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(open_connections, timeout=10)


async def complaint(url: str, ca_file: Path | None = None) -> ProvisioningUnreachable:
    settings = ProvisioningSettings(
        url=url, device_id=DEVICE, device_key=SecretStr(PEM), server_keys=SERVER_KEYS, ca_file=ca_file
    )
    async with ProvisioningClient(settings, None) as client:
        with pytest.raises(ProvisioningUnreachable) as caught:
            await client.fetch_token(Mode.HANDS_FREE, Purpose.NEW)
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_dead_server_is_noticed_at_once():
    with dead_address() as url:
        started = time.monotonic()
        assert "cannot be reached" in str(await complaint(url))
        assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "kind", "said"),
    [
        (timedelta(days=-20), timedelta(days=-10), ClockWrong, "is this device's clock right?"),
        (timedelta(days=10), timedelta(days=20), ClockWrong, "is this device's clock right?"),
        (timedelta(days=-10), timedelta(days=10), ProvisioningUnreachable, "cannot be reached"),
    ],
)
async def test_a_certificate_of_another_time_points_at_the_clock(tmp_path, valid_from, valid_to, kind, said):
    now = datetime.now(UTC).replace(tzinfo=None)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", not_before=now + valid_from, not_after=now + valid_to)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async with listener(certificate) as url:
        error = await complaint(url, tmp_path / "ca.pem")
        assert type(error) is kind
        assert said in str(error)


async def test_a_certificate_of_another_authority_points_at_the_setting():
    async with listener(trustme.CA().issue_cert("127.0.0.1")) as url:
        error = await complaint(url)
        assert type(error) is ProvisioningUnreachable
        assert "provisioning.ca_file" in str(error)
