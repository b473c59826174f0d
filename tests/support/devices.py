"""Devices to enrol, and power that can be cut at any step of it."""

from pathlib import Path

import httpx2

from appliance.config.schema import ProvisioningSettings
from appliance.provisioning.common import keys
from appliance.provisioning.common.join import Join, read_claim
from appliance.provisioning.device.enrolment import LocalDevice
from appliance.provisioning.device.http import Transport
from appliance.storage.private_dir import PrivateDirectory
from tests.support.provisioning import SERVER, SERVER_KEY, World


class PowerCut(BaseException):
    """Nothing is done any more."""


class Power:
    """Is cut after so many steps; None: never. A step is a write, a removal, or a request with its answer."""

    def __init__(self, steps: int | None = None) -> None:
        self.left = steps
        self.used = 0

    def step(self) -> None:
        if self.left is not None and self.used >= self.left:
            raise PowerCut
        self.used += 1


class CutDirectory(PrivateDirectory):
    """A directory on that power: each change is cut off before it is done, while it is written, or after it is done."""

    def __init__(self, directory: Path, power: Power) -> None:
        super().__init__(directory)
        self._power = power

    def write(self, name: str, content: str) -> None:
        self._power.step()
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / f".{name}.new").write_text(content[: len(content) // 2])
        self._power.step()
        super().write(name, content)
        self._power.step()

    def remove(self, name: str) -> None:
        self._power.step()
        super().remove(name)
        self._power.step()


class CutTransport(httpx2.AsyncBaseTransport):
    """A network on that power: a request does not go out, or its answer is lost."""

    def __init__(self, carrier: httpx2.AsyncBaseTransport, power: Power) -> None:
        self._carrier = carrier
        self._power = power

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._power.step()
        response = await self._carrier.handle_async_request(request)
        self._power.step()
        return response


def local_device(
    here: World, directory: Path, power: Power | None = None, carrier: Transport | None = None, **settings: object
) -> LocalDevice:
    """Return where a device of ``here`` keeps its identity."""
    power = power or Power()
    transport = CutTransport(carrier or here.transport, power)
    return LocalDevice(CutDirectory(directory, power), ProvisioningSettings.model_validate(settings), transport)


def join(claim: str, server_key: keys.PrivateKey = SERVER_KEY, url: str = SERVER) -> Join:
    return Join(url, read_claim(claim), keys.thumbprint(server_key), 0)
