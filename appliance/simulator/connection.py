"""One connection from the request to the end, over any transport.

Who may begin a session is decided by the first message, as the service does it, not when the request is granted.
"""

import asyncio
import logging
from typing import Final

from appliance.simulator.connection_context import ConnectionContext
from appliance.simulator.contract.locks import Lock
from appliance.simulator.contract.messages import INVALID_ARGUMENT, ContractError, invalid, parse
from appliance.simulator.contract.setup import parse_setup
from appliance.simulator.contract.tokens import Purpose, Token
from appliance.simulator.ports import Caller, Transport
from appliance.simulator.scenario.runner import ScenarioRunner
from appliance.simulator.scenario.steps import Moment
from appliance.simulator.service import Service
from appliance.simulator.session_context import Admission, SessionContext
from appliance.simulator.user_side import UserSide
from appliance.units import Seconds

_LOG: Final = logging.getLogger(__name__)


async def conduct(transport: Transport, caller: Caller, service: Service) -> None:
    """Hold a connection until it has ended; cancelling cuts it short, and its record is whole all the same."""
    async with asyncio.TaskGroup() as tasks:
        stage = ConnectionContext(transport, service.handles)
        director = ScenarioRunner(service.playbill.next_steps(), tasks)
        await director.preempted(Moment.CONNECT, stage)
        await transport.accept()
        admission = await _admission(stage, caller, service, director)
        if admission is not None:
            record = service.begin_record(admission.setup, admission.snapshot)
            await _hold(SessionContext(admission, record, stage, director, service, tasks))
        director.stop()


async def _hold(scene: SessionContext) -> None:
    record, transport, handles = scene.record, scene.stage.transport, scene.stage.handles
    handles.begin(record.session, transport)
    _LOG.info("session %d: begins%s", record.number, ", resumed" if record.resumed else "")
    try:
        await UserSide(scene).run()
    finally:
        record.close_code = transport.close_code
        handles.end(record.session, transport)
        _LOG.info("session %d: ended with %d", record.number, transport.close_code)
        scene.service.keep(record)


async def _admission(
    stage: ConnectionContext, caller: Caller, service: Service, director: ScenarioRunner
) -> Admission | None:
    """Wait for the set-up and decide about it; None where the connection ends or is refused instead."""
    payload = await stage.transport.receive()
    if payload is None:
        return None
    await director.preempted(Moment.SETUP, stage)
    if not stage.transport.closing:
        try:
            return _admitted(payload, caller, service)
        except ContractError as error:
            _LOG.info("set-up refused with %d: %s", error.code, error.reason)
            await stage.transport.close(error.code, error.reason)
    while await stage.transport.receive() is not None:
        pass  # what comes after the close frame does not count
    return None


def _admitted(payload: bytes, caller: Caller, service: Service) -> Admission:
    name, content = parse(payload)
    if name != "setup":
        raise invalid("The first message must be setup.")
    token = _token(caller, service)
    lock = token.lock if token else Lock()
    setup = parse_setup(lock.applied(content, service.options.global_lock))
    snapshot = service.handles.resume(setup.handle) if setup.handle else None
    if token is not None:
        purpose = Purpose.RESUME if snapshot else Purpose.NEW
        token.begin(purpose, Seconds(asyncio.get_running_loop().time()))
    return Admission(setup, token, snapshot)


def _token(caller: Caller, service: Service) -> Token | None:
    """Return the token of a constrained connection, None for one that shows the API key; raises ContractError."""
    if caller.constrained:
        return service.tokens.find(caller.credential)
    if caller.credential != service.options.api_key:
        raise ContractError(INVALID_ARGUMENT, "API key not valid. Please pass a valid API key.")
    return None
