"""Locks: the parts of a set-up that a token decides. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from appliance.simulator.contract.messages import Message, invalid
from appliance.simulator.contract.setup import check_names

_MASK_PATH: Final = re.compile(r"[a-zA-Z0-9]+(\.[a-zA-Z0-9]+)*")


class GlobalLock(Enum):
    """Whether a connection's handle counts when its token locks the whole set-up; not known of the service."""

    IGNORES_HANDLE = "ignores-handle"
    """It is ignored like the rest, unless the token's set-up has sessionResumption, as in Google's own example."""
    KEEPS_HANDLE = "keeps-handle"


@dataclass(frozen=True, slots=True)
class Lock:
    """The set-up fields that a token decides."""

    setup: Mapping[str, Any] | None = None
    mask: tuple[str, ...] = ()

    def applied(self, setup: Message, when_global: GlobalLock = GlobalLock.IGNORES_HANDLE) -> Message:
        """Return the effective set-up of a connection that asks for ``setup``.

        Without a set-up in the token: the connection's. With one and no mask: the token's. With a mask: the
        connection's, with each masked field replaced by the token's, or removed if the token does not have it.
        """
        if self.setup is None:
            return setup
        if not self.mask:
            # A token with sessionResumption leaves it to the connection which session to resume.
            keeps = when_global is GlobalLock.KEEPS_HANDLE or "sessionResumption" in self.setup
            keeps_handle = keeps and "sessionResumption" in setup
            return {**self.setup, "sessionResumption": setup["sessionResumption"]} if keeps_handle else self.setup
        result: Message = setup
        for path in self.mask:
            result = _with_field(result, path.split("."), self.setup)
        return result


def parse_lock(setup: object, field_mask: object) -> Lock:
    """Parse the lock in a request for a token (camelCase).

    Raises:
        ContractError: The set-up has an unknown field, or the mask is malformed.
    """
    if setup is not None and not isinstance(setup, dict):
        raise invalid('"bidiGenerateContentSetup" must be an object.')
    check_names(setup or {})
    if not isinstance(field_mask, str | None):
        raise invalid('"fieldMask" must be a string.')
    paths = field_mask.split(",") if field_mask else []
    for path in paths:
        # protobuf's JSON parser accepts field masks in camelCase only.
        if not _MASK_PATH.fullmatch(path):
            raise invalid(f'"fieldMask" has a path that is not camelCase: "{path}".')
    return Lock(setup, tuple(paths))


def _with_field(target: Message, path: list[str], source: Message) -> Message:
    """Return ``target`` with the field at ``path`` as ``source`` has it."""
    name, *rest = path
    if rest:
        below = _with_field(_object(target, name), rest, _object(source, name))
        return {**target, name: below} if below or name in target else target
    others = {key: value for key, value in target.items() if key != name}
    return {**others, name: source[name]} if name in source else others


def _object(parent: Message, name: str) -> Message:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}
