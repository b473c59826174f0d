"""What a device makes of each answer of the provisioning server that is not a token: a table. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from appliance.errors import ProvisioningError, ProvisioningUnreachable, TokenRefused
from appliance.provisioning.protocol import Problem

_REFUSED: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: "does not understand this device: update the older of the two",
    HTTPStatus.UNAUTHORIZED: (
        "does not accept the device {device_id!r} or its key: enter its public key there under this name, "
        "or correct provisioning.device_id"
    ),
    HTTPStatus.FORBIDDEN: "has blocked the device {device_id!r}: ask who runs it",
    HTTPStatus.NOT_FOUND: "is not a provisioning server: correct provisioning.url",
    HTTPStatus.METHOD_NOT_ALLOWED: "is not a provisioning server: correct provisioning.url",
    HTTPStatus.CONFLICT: "has heard from another device as {device_id!r}: give each device a name and a key of its own",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "does not understand this device: update the older of the two",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "does not understand this device: update the older of the two",
    HTTPStatus.UNPROCESSABLE_ENTITY: "does not understand this device: update the older of the two",
    HTTPStatus.UPGRADE_REQUIRED: "wants a newer version of the appliance: update it",
}
"""Asking again does not help: a person has to do something."""


def refusal(status: int, problem: Problem | None, server: str, device_id: str) -> ProvisioningError:
    """Return the error that an answer with ``status`` stands for.

    Of the answer's own words only the code is repeated, as the rest may be anything. Every status that is not in the
    table is one of those that pass: the server, or what it depends on, cannot serve now (429, 5xx), or something
    between has answered instead.
    """
    code = f" ({problem.code})" if problem else ""
    if status in _REFUSED:
        return TokenRefused(f"the provisioning server {server} {_REFUSED[status].format(device_id=device_id)}{code}")
    later = f"; it asks to wait {problem.retry_after} s" if problem and problem.retry_after else ""
    return ProvisioningUnreachable(
        f"the provisioning server {server} cannot serve now: it answers {status}{code}{later}"
    )
