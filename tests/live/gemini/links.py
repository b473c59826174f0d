"""Links to a scripted service, read to their end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.core.state import Mode
from appliance.errors import LinkError
from appliance.live.gemini.connection import GeminiConnection
from appliance.live.messages import LinkMessage
from appliance.live.ports import Link, Request
from tests.support.live_service import Script, live_service

TURN_COMPLETE = {"serverContent": {"turnComplete": True}}


@asynccontextmanager
async def linked(folder: Path, script: Script) -> AsyncIterator[GeminiConnection]:
    async with (
        live_service(folder, script) as service,
        service.connector().open(service.token(), Request(Mode.HANDS_FREE)) as link,
    ):
        yield link


async def read_to_the_end(link: Link) -> tuple[list[LinkMessage], LinkError]:
    got: list[LinkMessage] = []
    try:
        async for message in link.messages():
            got.append(message)  # noqa: PERF401  what came before the error counts
    except LinkError as error:
        return got, error
    pytest.fail("messages() may only end by an error")
