"""Results for people and programs on the standard output, which may be a full disk, or have gone as with ``| head``."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType

from appliance.errors import ExitCode, InputError

WIDE: Final = 200
"""Columns of what no terminal shows: lines are not to be broken for a file or a pipe."""


def show(result: RenderableType) -> None:
    """Print a table or a text.

    Raises:
        InputError: The output takes no more.
    """
    with _guarded():
        console = _Console(highlight=False)
        if not console.is_terminal:
            console.width = WIDE
        console.print(result)


def show_json(result: Mapping[str, object] | Sequence[object]) -> None:
    """Print a JSON document; raises InputError as `show` does."""
    with _guarded():
        print(json.dumps(result, indent=2), flush=True)  # noqa: T201  what it is for; without stdout it does nothing


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Do not end the program: see `_guarded`."""
        raise BrokenPipeError


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _lead_nowhere()  # whoever reads has seen enough
    except OSError as error:
        _lead_nowhere()
        raise InputError(f"the output cannot be written: {error.strerror}", ExitCode.CANNOT_WRITE) from error


def _lead_nowhere() -> None:
    """What is still buffered would be written once more, and fail once more, when the interpreter ends."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
