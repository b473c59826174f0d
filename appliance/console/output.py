"""Results for people and programs on the standard output, which may be a full disk, or have gone as with ``| head``.

What is shown may come from anybody: no text is taken for markup, nor for the name of an emoji, and nothing
in it moves the cursor or turns letters round. Where the standard
output is closed, results go nowhere.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from appliance.errors import ExitCode, InputError
from appliance.text import stripped, visible

WIDE: Final = 200
"""Columns of what no terminal shows: lines are not to be broken for a file or a pipe."""


class Reader(Enum):
    """Whether somebody reads the standard output."""

    THERE = "there"
    GONE = "gone"
    """It has seen enough, as with ``| head``; what is shown from now on goes nowhere."""


def console() -> Console:
    """Return what draws on the standard output; what its encoding lacks is drawn as an escape."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    made = SafeConsole(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = WIDE
    return made


def show(result: RenderableType) -> Reader:
    """Print a table or a text.

    Raises:
        InputError: The output takes no more.
    """
    return _guarded(lambda: console().print(result))


def show_json(result: Mapping[str, object] | Sequence[object]) -> Reader:
    """Print a JSON document; raises InputError as `show` does."""
    text = json.dumps(result, indent=2)
    return _guarded(lambda: print(text, flush=True))  # noqa: T201  what it is for; where stdout is closed it does nothing


def show_text(text: str) -> Reader:
    """Print a text as it is, however long its lines; raises InputError as `show` does."""
    return _guarded(lambda: console().out(visible(text)))


class SafeConsole(Console):
    """Draws text of anybody: what in it would move the cursor or turn letters round is left out."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return what is drawn, as `stripped`: names and words come from servers and devices."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=stripped(segment.text))

    def on_broken_pipe(self) -> None:
        """Do not end the program: see `_guarded`."""
        raise BrokenPipeError


def _guarded(write: Callable[[], None]) -> Reader:
    try:
        write()
    except BrokenPipeError:
        _lead_nowhere()
        return Reader.GONE
    except OSError as error:
        _lead_nowhere()
        raise InputError(f"the output cannot be written: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    return Reader.THERE


def _lead_nowhere() -> None:
    """What is still buffered would be written once more, and fail once more, when the interpreter ends."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
