"""The pytest fixture, as another project's tests would use it."""

import json
import ssl
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from appliance.errors import InputError
from appliance.simulator.fixture import StartSimulator, ThreadedSimulator, start_simulator
from appliance.simulator.options import SimulatorOptions
from tests.simulator.raw import PATH, setup

__all__ = ["start_simulator"]

pytestmark = pytest.mark.realtime


def dialled(simulator: ThreadedSimulator):
    context = ssl.create_default_context(cafile=simulator.ca_file)
    address = simulator.base_url.replace("https", "wss") + PATH
    return connect(address, ssl=context, additional_headers={"x-goog-api-key": simulator.api_key}, proxy=None)


def test_a_test_that_is_no_coroutine_talks_to_a_simulator(start_simulator: StartSimulator):
    simulator = start_simulator("setup_refused", "healthy")
    with dialled(simulator) as refused:
        refused.send(json.dumps(setup()))
        with pytest.raises(ConnectionClosed) as caught:
            refused.recv()
    with dialled(simulator) as well:
        well.send(json.dumps(setup()))
        assert json.loads(well.recv()) == {"setupComplete": {}}
    assert caught.value.rcvd
    assert caught.value.rcvd.code == 1007
    assert [record.model for record in simulator.sessions] == ["models/any"]
    assert len(simulator.received(1)) == 0


def test_several_simulators_run_at_once(start_simulator: StartSimulator):
    first = start_simulator(options=SimulatorOptions(api_key="one"))
    second = start_simulator("http_503")
    assert first.base_url != second.base_url
    with dialled(first) as accepted:
        accepted.send(json.dumps(setup()))
        assert json.loads(accepted.recv()) == {"setupComplete": {}}
    with pytest.raises(InvalidStatus), dialled(second):
        pass


def test_what_cannot_start_says_so_to_the_test(tmp_path: Path, start_simulator: StartSimulator):
    with pytest.raises(InputError, match="cannot write into"):
        start_simulator(options=SimulatorOptions(directory=tmp_path / "absent"))
    with pytest.raises(InputError, match="no scenario is called"):
        start_simulator("no_such_scenario")
