"""Small JSON objects that outlive the program: one file each, replaced as a whole. Implements `ports.Store`."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from appliance import log

_MAX_BYTES: Final = 64 * 1024
"""More than anything that is kept here; a longer file is not ours."""


class JsonFile:
    """One file; written by a thread, so that a slow card holds nothing up."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> object:
        """Return what was saved last; None where there is nothing of use."""
        try:
            with self._path.open("rb") as file:
                return json.loads(file.read(_MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.event("state.unreadable", level="warning", file=self._path, error=type(error).__name__)
            return None

    async def save(self, value: Mapping[str, Any]) -> None:
        """Replace the file; what cannot be written is logged and left."""
        await asyncio.to_thread(self._write, json.dumps(value).encode())

    def _write(self, content: bytes) -> None:
        new = self._path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            log.event("state.unwritable", level="warning", file=self._path, error=error)


class NullStore:
    """Keeps nothing: where there is no state directory."""

    def load(self) -> object:
        """Return None."""
        return None

    async def save(self, value: Mapping[str, Any]) -> None:
        """Do nothing."""
