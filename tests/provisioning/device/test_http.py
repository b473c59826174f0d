"""Classification of connections that broke off."""

import logging
import ssl
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from appliance.errors import ClockWrong, ProvisioningUnreachable
from appliance.provisioning.device.client import ProvisioningClient
from tests.provisioning.homes import SETTINGS
from tests.support.provisioning import DEVICE, NOW, answer

STANDING = {"device_id": DEVICE, "status": "active", "server_time": NOW.isoformat()}


@pytest.mark.parametrize("verify_code", [9, 10])
@pytest.mark.parametrize(
    ("ahead", "expected", "said"),
    [
        (None, ClockWrong, "is this device's clock right?"),
        (timedelta(days=30), ClockWrong, "is this device's clock right?"),
        (timedelta(days=-30), ClockWrong, "is this device's clock right?"),
        (timedelta(minutes=1), ProvisioningUnreachable, "this device's clock is right"),
    ],
)
async def test_a_certificate_of_another_time_is_the_clocks_fault_unless_that_is_known_to_be_right(
    caplog, verify_code, ahead, expected, said
):
    """``ahead``: by how much the server's clock was, by its last answer; None: it has given none."""

    async def handler(request: httpx2.Request) -> httpx2.Response:
        if known:
            return answer(request, STANDING, at=datetime.now(UTC) + known.pop())
        error = ssl.SSLCertVerificationError()
        error.verify_code, error.verify_message = verify_code, "not valid now"
        raise httpx2.ConnectError("x") from error

    known = [] if ahead is None else [ahead]

    with caplog.at_level(logging.WARNING):
        async with ProvisioningClient(SETTINGS, None, httpx2.MockTransport(handler)) as client:
            if known:
                await client.fetch_status(5.0)
            with pytest.raises(ProvisioningUnreachable) as caught:
                await client.fetch_status(5.0)
            assert type(caught.value) is expected
            assert said in str(caught.value)
    assert caplog.text.count("provisioning.clock-wrong") == (ahead is not None and abs(ahead) > timedelta(hours=1))
