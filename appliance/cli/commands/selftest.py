"""The `appliance selftest` command: test all that a conversation needs: card, pins, token and Live session."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from appliance import app
from appliance.cli.commands.doctor import show_findings
from appliance.config.schema import Settings
from appliance.core.state import Mode
from appliance.doctor import devices
from appliance.doctor.finding import Finding, Severity
from appliance.errors import ApplianceError, LinkAction, LinkError, Owner
from appliance.live.ports import LinkConnector, Request, TokenSource
from appliance.net.event_loop import run
from appliance.service.control_client import RUNTIME, require_no_daemon

_ADVICE: Final = {
    Owner.INSTALLER: "check the settings (`appliance config`), or ask who runs the provisioning server",
    Owner.NETWORK: "check the network and the server's address (`appliance config`)",
    Owner.SERVICE: "try again later",
}


def selftest_command(settings: Settings, *, as_json: bool, runtime: Path = RUNTIME) -> int:
    """Run the test, show the findings and return the exit code: 4 if something does not work.

    Raises:
        InputError: The daemon runs, and has the card and the key in use.
        ConfigurationError: A setting is invalid.
    """
    require_no_daemon(runtime)
    found = [*devices.cards(settings, busy=Severity.PROBLEM), *devices.pins(settings, busy=Severity.PROBLEM)]
    return show_findings(found + run(_service(settings)), as_json=as_json)


async def _service(settings: Settings) -> list[Finding]:
    async with app.service_alone(settings) as (tokens, connector):
        return [finding async for finding in _session(tokens, connector)]


async def _session(tokens: TokenSource, connector: LinkConnector) -> AsyncIterator[Finding]:
    """Fetch a token, open a session with it and close that; end at the first failure."""
    try:
        token = await tokens.fetch(Mode.HANDS_FREE, resume=False)
    except ApplianceError as error:
        yield _problem("token", error)
        return
    yield Finding("token", Severity.OK, f"for {token.model}")
    try:
        async with connector.open(token, Request(Mode.HANDS_FREE)):
            with tokens.track_link(token):
                pass
            yield Finding("Live session", Severity.OK, "set up, and closed again")
    except LinkError as error:
        if error.action is LinkAction.OMIT_FEATURE:
            yield Finding("Live session", Severity.NOTE, f"{error}: the daemon leaves out what is refused")
        else:
            yield _problem("Live session", error)


def _problem(name: str, error: ApplianceError) -> Finding:
    return Finding(name, Severity.PROBLEM, str(error), _ADVICE.get(error.owner, ""))
