"""Tokens of a device that may not be enrolled yet: the daemon waits for its enrolment."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from appliance.core.state import Mode
from appliance.errors import EnrolmentError, InputError, LinkAction, NotEnrolled, TokenRefused
from appliance.live.ports import LiveToken
from appliance.provisioning.device.token_manager import TokenManager


class EnrolmentAwaitingTokens:
    """Hands out tokens as soon as this device is enrolled. Implements `live.ports.TokenSource`.

    Args:
        make: Makes a token manager for the stored identity.

    Raises:
        ConfigurationError: A setting is wrong, and enrolling does not help.
    """

    def __init__(self, make: Callable[[], TokenManager]) -> None:
        self._make = make
        self._next: TokenManager | None = None
        with suppress(NotEnrolled):
            self._next = make()
        self._tokens: TokenManager | None = None
        self._reason = ""
        self._tried = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until cancelled; ``on_ready`` is called once there is an identity.

        Raises:
            EnrolmentError: There is none yet, or another program uses it, for instance `appliance enrol`.
        """
        made, self._next = self._next, None
        try:
            async with made or self._make() as self._tokens:
                self._tried.set()
                on_ready()
                await asyncio.get_running_loop().create_future()
        except (NotEnrolled, InputError) as error:
            self._reason = str(error)
            raise EnrolmentError(self._reason) from error
        finally:
            self._tokens = None
            self._tried.set()

    async def fetch(self, mode: Mode, *, resume: bool) -> LiveToken:
        """Return a token; raises as `TokenManager.fetch`, and TokenRefused where this device is not enrolled."""
        await self._tried.wait()
        if self._tokens is None:
            raise TokenRefused(self._reason, LinkAction.NOT_ENROLLED)
        return await self._tokens.fetch(mode, resume=resume)

    def track_link(self, token: LiveToken) -> AbstractContextManager[None]:
        """Count a link as `TokenManager.track_link` does."""
        return nullcontext() if self._tokens is None else self._tokens.track_link(token)
