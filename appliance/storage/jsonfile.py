"""Small JSON objects that outlive the program: one file each, replaced as a whole. Implements `live.ports.Store`."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from appliance import log
from appliance.storage.atomic import write_atomically

_MAX_BYTES: Final = 64 * 1024
"""Longer than anything that is kept here; a longer file is not ours."""


class JsonFile:
    """One file; written on a thread, so that a slow card holds nothing up."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> object:
        """Return the object that was saved last; None where the file is missing or unusable."""
        try:
            with self._path.open("rb") as file:
                return json.loads(file.read(_MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.event("state.unreadable", level="warning", file=self._path, error=type(error).__name__)
            return None

    async def save(self, value: Mapping[str, Any]) -> None:
        """Replace the file; a failure is logged and otherwise ignored."""
        await asyncio.to_thread(self._write, json.dumps(value).encode())

    def _write(self, content: bytes) -> None:
        try:
            write_atomically(self._path, content)
        except OSError as error:
            log.event("state.unwritable", level="warning", file=self._path, error=error)


class NullStore:
    """Keeps nothing: where there is no state directory."""

    def load(self) -> object:
        """Return None."""
        return None

    async def save(self, value: Mapping[str, Any]) -> None:
        """Do nothing."""
