"""Keeps a device running: reports that it has failed and that it is back, and tries again meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from appliance import log
from appliance.core.events import Event, Fault, FaultCleared, FaultRaised
from appliance.errors import DeviceError

FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 10.0


class DeviceSupervisor:
    """One device and its fault; everything on the loop's thread."""

    def __init__(
        self,
        fault: Fault,
        run: Callable[[], Awaitable[None]],
        post: Callable[[Event], None],
        on_error: Callable[[DeviceError], None],
    ) -> None:
        """``on_error`` is told why the device has failed, before `FaultRaised` is posted."""
        self._fault = fault
        self._run = run
        self._post = post
        self._on_error = on_error
        self._failed = False
        self._again = asyncio.Event()
        self._settled = asyncio.Event()

    def works(self) -> None:
        """The device has just done its work: it is there, or is back."""
        self._settled.set()
        if self._failed:
            self._failed = False
            log.event("device.back", device=self._fault.value)
            self._post(FaultCleared(self._fault))

    def recover(self) -> None:
        """Try again now, if it has failed."""
        self._again.set()

    def overdue(self) -> None:
        """Count it as failed, until it works, if it has neither worked nor failed yet."""
        if not self._settled.is_set():
            self._failure(DeviceError(f"the {self._fault.value} does not answer"), FIRST_RETRY_S)

    async def settled(self) -> None:
        """Wait until the device has worked, or failed, for the first time."""
        await self._settled.wait()

    async def run(self) -> None:
        """Run the device until cancelled, or until its input has an end."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self._run()
            except DeviceError as error:
                retry_s = self._failure(error, retry_s)
            else:
                self._settled.set()
                return
            self._again.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(retry_s):
                    await self._again.wait()

    def _failure(self, error: DeviceError, retry_s: float) -> float:
        """Report a failure once; return how long to wait before the next try."""
        self._settled.set()
        if self._failed:
            log.event("device.still-failing", level="debug", device=self._fault.value, reason=str(error))
            return min(retry_s * 2, LAST_RETRY_S)
        self._failed = True
        log.event("device.failed", level="error", device=self._fault.value, reason=str(error))
        self._on_error(error)
        self._post(FaultRaised(self._fault))
        return FIRST_RETRY_S
