"""Compares the version in a device's ``User-Agent``. Pure."""

import re
from typing import Final

from appliance.provisioning.common.protocol import AGENT

_AGENT: Final = re.compile(rf"{AGENT}/(?P<version>[0-9]{{1,4}}(\.[0-9]{{1,4}}){{0,3}})\b")


def is_too_old(agent: str, least: str) -> bool:
    """Say whether ``agent``, a ``User-Agent``, is an appliance older than ``least``. Other programs never are."""
    found = _AGENT.match(agent)
    return found is not None and _numbers(found["version"]) < _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
