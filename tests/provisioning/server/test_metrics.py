import socket

import httpx2
import pytest

from appliance.provisioning.server.client_version import is_too_old
from appliance.provisioning.server.metrics import Metrics, served
from tests.support.provisioning import DEVICE, world

pytestmark = pytest.mark.realtime


async def test_what_is_counted_can_be_fetched_on_the_loopback_address_and_names_no_device():
    here = world()

    await here.token()
    await here.token(device="stranger")
    with served(here.parts.metrics, 0) as port:
        text = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    assert 'provisiond_answers_total{status="200"} 1.0' in text
    assert 'provisiond_answers_total{status="401"} 1.0' in text
    assert 'provisiond_mints_total{result="ok"} 1.0' in text
    assert 'provisiond_refusals_total{code="signature-invalid"} 1.0' in text
    assert DEVICE not in text


def test_without_a_port_nothing_listens_and_a_port_that_is_taken_is_told():
    with served(Metrics(), None) as port:
        assert port is None
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(OSError, match="in use"),
        served(Metrics(), taken.getsockname()[1]),
    ):
        pass


@pytest.mark.parametrize(
    ("agent", "least", "old"),
    [
        ("voice-appliance/1.2.3", "1.2.4", True),
        ("voice-appliance/1.10", "1.9", False),
        ("voice-appliance/1.2", "1.2.0", False),
        ("voice-appliance/0.1.0", "0", False),
        ("voice-appliance/1.2.3-dev", "2", True),
        ("something/0.1", "2", False),
        ("", "2", False),
    ],
)
def test_versions_are_compared_number_by_number(agent, least, old):
    assert is_too_old(agent, least) is old
