"""Links are opened as another connector opens them, and counted."""

import asyncio

import pytest

from appliance.config.schema import Prefetch
from appliance.core.state import Mode
from appliance.errors import LinkCause, LinkError
from appliance.live.ports import LinkConnector, OptionalFeature, Request
from appliance.provisioning.common.protocol import UNUSED
from appliance.provisioning.device.session_reporting import SessionReportingConnector
from appliance.provisioning.device.sessions import LINGER_S, UNOPENED_S
from tests.clock import run_virtual
from tests.live.fakes import FakeConnector
from tests.provisioning.homes import home

REQUEST = Request(Mode.HANDS_FREE)


def test_it_is_the_connector_that_it_stands_for():
    async def main() -> None:
        async with home() as here:
            inner = FakeConnector(tiers=frozenset({OptionalFeature.SEARCH}))
            links: LinkConnector = SessionReportingConnector(inner, here.tokens)
            assert links.parts("m", REQUEST) == {OptionalFeature.SEARCH}
            assert links.config("m") == inner.model_config
            async with links.open(await here.fetch(), REQUEST) as link:
                assert link is inner.links[0]
            assert inner.requests == [REQUEST]
            assert inner.connections == 0

    run_virtual(main)


def test_a_session_over_two_links_is_one_with_a_reconnect():
    async def main() -> None:
        async with home(Prefetch.NEVER) as here:
            links = SessionReportingConnector(FakeConnector(open_s=0.5), here.tokens)
            await asyncio.sleep(60)
            token = await here.fetch()
            for _ in range(2):
                async with links.open(token, REQUEST):
                    await asyncio.sleep(10)
            await asyncio.sleep(LINGER_S + 1)
            assert here.line.bodies[-1] == {"type": "ended", "reason": "", "seconds": 20, "reconnects": 1}
            assert here.outcomes() == [("new", "ended")]

    run_virtual(main)


def test_however_a_link_ends_it_is_closed():
    async def main() -> None:
        async with home() as here:
            links = SessionReportingConnector(FakeConnector(), here.tokens)
            token = await here.fetch()
            for error in (LinkError("lost", LinkCause.DROPPED), asyncio.CancelledError()):
                with pytest.raises(type(error)):
                    async with links.open(token, REQUEST):
                        raise error
            assert here.tokens.sessions.settles_at is not None

    run_virtual(main)


def test_a_link_that_does_not_come_about_is_none_and_its_token_is_given_back():
    async def main() -> None:
        async with home(Prefetch.NEVER) as here:
            links = SessionReportingConnector(FakeConnector(error=LinkError("no", LinkCause.REFUSED)), here.tokens)
            with pytest.raises(LinkError):
                async with links.open(await here.fetch(), REQUEST):
                    raise AssertionError
            await asyncio.sleep(UNOPENED_S + 1)
            assert here.outcomes() == [("new", f"ended {UNUSED}")]
            assert "started" not in here.line.kinds

    run_virtual(main)
