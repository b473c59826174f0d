"""Has every link counted for the provisioning server. Implements `live.ports.LinkConnector` around another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from appliance.live.ports import Link, LinkConnector, LiveToken, OptionalFeature, Request


class Counter(Protocol):
    """Who counts links: `Tokens`, or `AwaitedTokens`."""

    def opened(self, token: LiveToken) -> None:
        """A link was opened with this token."""

    def closed(self, token: LiveToken) -> None:
        """That link was closed."""


class SessionReportingConnector:
    """Opens links as another connector does, and tells when they are opened and closed."""

    def __init__(self, connector: LinkConnector, tokens: Counter) -> None:
        self._connector = connector
        self._tokens = tokens

    def parts(self, model: str, request: Request) -> frozenset[OptionalFeature]:
        """Return the optional parts that such a set-up has."""
        return self._connector.parts(model, request)

    def config(self, model: str) -> str:
        """Name what a session keeps of its set-up when it is resumed."""
        return self._connector.config(model)

    @asynccontextmanager
    async def open(self, token: LiveToken, request: Request) -> AsyncIterator[Link]:
        """Open a link; raises LinkError."""
        async with self._connector.open(token, request) as link:
            self._tokens.opened(token)
            try:
                yield link
            finally:
                self._tokens.closed(token)
