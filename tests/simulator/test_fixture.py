"""The pytest fixture, as another project's tests would use it."""

import json
import ssl
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from appliance.errors import InputError
from appliance.simulator.fixture import StartSimulator, ThreadedSimulator, start_simulator
from appliance.simulator.options import SimulatorOptions
from tests.support.websocket import PATH, setup

__all__ = ["start_simulator"]

pytestmark = pytest.mark.realtime


async def talk(simulator: ThreadedSimulator) -> object:
    """Send a set-up and return the answer, or why there is none.

    With a loop of its own: websockets' client for threads reads and writes one TLS connection in two of them, and loses
    one request in some hundreds that way.
    """

    context = ssl.create_default_context(cafile=simulator.ca_file)
    address = simulator.base_url.replace("https", "wss") + PATH
    headers = {"x-goog-api-key": simulator.api_key}
    try:
        async with connect(address, ssl=context, additional_headers=headers, proxy=None) as connection:
            await connection.send(json.dumps(setup()))
            return json.loads(await connection.recv())
    except InvalidStatus as refused:
        return refused.response.status_code
    except ConnectionClosed as closed:
        return closed.rcvd and closed.rcvd.code


async def test_a_test_that_is_no_coroutine_talks_to_a_simulator(start_simulator: StartSimulator):
    simulator = start_simulator("setup_refused", "healthy")
    assert await talk(simulator) == 1007
    assert await talk(simulator) == {"setupComplete": {}}
    assert [record.model for record in simulator.sessions] == ["models/any"]
    assert len(simulator.received(1)) == 0


async def test_several_simulators_run_at_once(start_simulator: StartSimulator):
    first = start_simulator(options=SimulatorOptions(api_key="one"))
    second = start_simulator("http_503")
    assert first.base_url != second.base_url
    assert await talk(first) == {"setupComplete": {}}
    assert await talk(second) == 503


def test_what_cannot_start_says_so_to_the_test(tmp_path: Path, start_simulator: StartSimulator):
    with pytest.raises(InputError, match="cannot write into"):
        start_simulator(options=SimulatorOptions(directory=tmp_path / "absent"))
    with pytest.raises(InputError, match="unknown scenario"):
        start_simulator("no_such_scenario")
