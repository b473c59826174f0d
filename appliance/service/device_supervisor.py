"""Keeps a device running: reports when it fails and when it is back, and retries in between."""

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
    """Supervises one device and its fault. Loop thread only."""

    def __init__(
        self,
        fault: Fault,
        run: Callable[[], Awaitable[None]],
        post: Callable[[Event], None],
        on_error: Callable[[DeviceError], None],
    ) -> None:
        """``on_error`` gets the reason of a failure, before `FaultRaised` is posted."""
        self.fault = fault
        self.reason = ""
        """The newest failure, in one line."""
        self._run = run
        self._post = post
        self._on_error = on_error
        self._failed = False
        self._retry_now = asyncio.Event()
        self._known = asyncio.Event()

    def report_alive(self) -> None:
        """Note that the device has just worked; clear its fault."""
        self._known.set()
        if self._failed:
            self._failed = False
            log.event("device.back", device=self.fault.value)
            self._post(FaultCleared(self.fault))

    def recover(self) -> None:
        """Retry now, if the device has failed."""
        self._retry_now.set()

    def fail_if_unknown(self) -> None:
        """Count the device as failed if it has neither worked nor failed yet."""
        if not self._known.is_set():
            self._failure(DeviceError(f"the {self.fault.value} does not answer"), FIRST_RETRY_S)

    async def wait_until_known(self) -> None:
        """Wait until the device has worked, or failed, for the first time."""
        await self._known.wait()

    async def run(self) -> None:
        """Run the device until cancelled, or until its input ends."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self._run()
            except DeviceError as error:
                retry_s = self._failure(error, retry_s)
            else:
                self._known.set()
                return
            self._retry_now.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(retry_s):
                    await self._retry_now.wait()

    def _failure(self, error: DeviceError, retry_s: float) -> float:
        """Report a failure once; return how long to wait before the next try."""
        self.reason = str(error)
        self._known.set()
        if self._failed:
            log.event("device.still-failing", level="debug", device=self.fault.value, reason=str(error))
            return min(retry_s * 2, LAST_RETRY_S)
        self._failed = True
        log.event("device.failed", level="error", device=self.fault.value, reason=str(error))
        self._on_error(error)
        self._post(FaultRaised(self.fault))
        return FIRST_RETRY_S
