"""One connection from the request to the end, over any transport.

The first message, not the request, decides whether a session may begin, as in the real service.
"""

import asyncio
import logging
from typing import Final

from appliance.clock import loop_time
from appliance.simulator.connection_context import ConnectionContext
from appliance.simulator.contract.locks import Lock
from appliance.simulator.contract.messages import INVALID_ARGUMENT, ContractError, invalid, parse
from appliance.simulator.contract.setup import parse_setup
from appliance.simulator.contract.tokens import Token
from appliance.simulator.ports import Caller, Transport
from appliance.simulator.scenario.runner import ScenarioRunner
from appliance.simulator.scenario.steps import TriggerPoint
from appliance.simulator.service import Service
from appliance.simulator.session_context import Admission, SessionContext
from appliance.simulator.user_side import UserSide

_LOG: Final = logging.getLogger(__name__)


async def serve_connection(transport: Transport, caller: Caller, service: Service) -> None:
    """Serve a connection until it has ended; if cancelled, its record is complete all the same."""
    async with asyncio.TaskGroup() as tasks:
        connection = ConnectionContext(transport, service.handles)
        scenario = ScenarioRunner(service.schedule.next_steps(), connection, tasks)
        await scenario.run(TriggerPoint.CONNECT)
        await transport.accept()
        admission = await _admission(connection, caller, service, scenario)
        if admission is not None:
            record = service.begin_record(admission.setup, admission.snapshot)
            await _run_session(SessionContext(admission, record, connection, scenario, service, tasks))
        scenario.stop()


async def _run_session(session: SessionContext) -> None:
    record, transport, handles = session.record, session.connection.transport, session.connection.handles
    handles.connected(record.session, transport)
    _LOG.info("session %d: begins%s", record.number, ", resumed" if record.resumed else "")
    try:
        await UserSide(session).run()
    finally:
        record.close_code = transport.close_code
        handles.disconnected(record.session, transport)
        _LOG.info("session %d: ended with %d", record.number, transport.close_code)
        session.service.save_record(record)


async def _admission(
    connection: ConnectionContext, caller: Caller, service: Service, scenario: ScenarioRunner
) -> Admission | None:
    """Wait for the set-up and check it; None if the connection ends or is refused."""
    payload = await connection.transport.receive()
    if payload is None:
        return None
    await scenario.run(TriggerPoint.SETUP)
    if not connection.transport.closing:
        try:
            return _admitted(payload, caller, service)
        except ContractError as error:
            _LOG.info("set-up refused with %d: %s", error.code, error.reason)
            await connection.transport.close(error.code, error.reason)
    while await connection.transport.receive() is not None:
        pass  # messages after the close frame are ignored
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
        token.begin_session(loop_time(), resumed=snapshot is not None)
    return Admission(setup, token, snapshot)


def _token(caller: Caller, service: Service) -> Token | None:
    """Return the token of a constrained connection, None for a valid API key; raises ContractError."""
    if caller.constrained:
        return service.tokens.find(caller.credential)
    if caller.credential != service.options.api_key:
        raise ContractError(INVALID_ARGUMENT, "API key not valid. Please pass a valid API key.")
    return None
