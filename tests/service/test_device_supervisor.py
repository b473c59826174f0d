"""A device that fails is reported once, tried again, and reported when it is back."""

import asyncio

from appliance.core.events import Event, Fault, FaultCleared, FaultRaised
from appliance.errors import DeviceError, MicrophoneError
from appliance.service.device_supervisor import DeviceSupervisor


class Device:
    """Fails as often as it is told, then works until cancelled."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tries: list[float] = []
        self.errors: list[DeviceError] = []
        self.supervisor: DeviceSupervisor | None = None

    async def run(self) -> None:
        self.tries.append(asyncio.get_running_loop().time())
        if self.failures:
            self.failures -= 1
            raise MicrophoneError("gone")
        assert self.supervisor is not None
        self.supervisor.report_alive()
        await asyncio.Event().wait()


async def attend(failures: int, seconds: float, *, recover_at: float | None = None) -> tuple[Device, list[Event]]:
    device, events = Device(failures), list[Event]()

    device.supervisor = DeviceSupervisor(Fault.MICROPHONE, device.run, events.append, device.errors.append)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(device.supervisor.run())
        await device.supervisor.wait_until_known()
        if recover_at is not None:
            asyncio.get_running_loop().call_later(recover_at, device.supervisor.recover)
        await asyncio.sleep(seconds)
        task.cancel()
    return device, events


async def test_a_device_that_works_is_no_news():
    assert (await attend(0, 5))[1] == []


async def test_a_failure_and_the_return_are_reported_once_each():
    device, events = await attend(5, 60)
    assert [str(error) for error in device.errors] == ["gone"]
    assert events == [FaultRaised(Fault.MICROPHONE), FaultCleared(Fault.MICROPHONE)]


async def test_a_device_that_does_not_answer_counts_as_failed_until_it_works():
    events = list[Event]()

    answered = asyncio.Event()

    async def run() -> None:
        await answered.wait()
        supervisor.report_alive()

    supervisor = DeviceSupervisor(Fault.SPEAKER, run, events.append, lambda _: None)
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run())
        await asyncio.sleep(10)
        supervisor.fail_if_unknown()
        assert events == [FaultRaised(Fault.SPEAKER)]
        answered.set()
        await asyncio.sleep(1)
        supervisor.fail_if_unknown()
    assert events == [FaultRaised(Fault.SPEAKER), FaultCleared(Fault.SPEAKER)]


async def test_a_try_that_is_asked_for_while_the_device_works_does_not_hurry_the_next_one():
    tries: list[float] = []

    async def run() -> None:
        tries.append(asyncio.get_running_loop().time())
        supervisor.recover()
        raise MicrophoneError("gone")

    supervisor = DeviceSupervisor(Fault.MICROPHONE, run, lambda _: None, lambda _: None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervisor.run())
        await asyncio.sleep(1.5)
        task.cancel()
    assert len(tries) == 2


async def test_tries_come_at_growing_intervals():
    device, _ = await attend(100, 60)
    gaps = [round(after - before) for before, after in zip(device.tries, device.tries[1:], strict=False)]
    assert gaps[:5] == [1, 2, 4, 8, 10]


async def test_recover_tries_at_once():
    device, events = await attend(1, 0.5, recover_at=0.1)
    assert len(device.tries) == 2
    assert events[-1] == FaultCleared(Fault.MICROPHONE)


async def test_an_input_with_an_end_ends_the_task():
    async def end() -> None:
        return

    supervisor = DeviceSupervisor(Fault.MICROPHONE, end, lambda _: None, lambda _: None)
    await supervisor.run()
    await supervisor.wait_until_known()
