"""Results on standard output, for people and programs; it may be closed, a full disk or a pipe to ``head``.

The text may come from untrusted sources: it is not parsed for markup or emoji, and control characters that move the
cursor or change the direction of writing are removed.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from appliance.errors import ExitCode, InputError
from appliance.text import stripped, visible

WIDE: Final = 200
"""Columns where there is no terminal, so that lines in a file or pipe are not wrapped."""


def console() -> Console:
    """Return a console on standard output. Characters that its encoding lacks are escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    made = SafeConsole(highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = WIDE
    return made


def show(result: RenderableType) -> bool:
    """Print a table or a text; return False if nobody reads the output any more (``| head``).

    Raises:
        InputError: The output cannot be written.
    """
    return _guarded(lambda: console().print(result))


def show_json(result: Mapping[str, object] | Sequence[object]) -> bool:
    """Print a JSON document; returns and raises as `show`."""
    text = json.dumps(result, indent=2)
    return _guarded(lambda: print(text, flush=True))  # noqa: T201  does nothing if stdout is closed


def show_text(text: str) -> bool:
    """Print a text without wrapping it; returns and raises as `show`."""
    return _guarded(lambda: console().out(visible(text)))


class SafeConsole(Console):
    """A console that removes control characters from untrusted text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments, each `stripped`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=stripped(segment.text))

    def on_broken_pipe(self) -> None:
        """Do not end the program: see `_guarded`."""
        raise BrokenPipeError


def _guarded(write: Callable[[], None]) -> bool:
    try:
        write()
    except BrokenPipeError:
        _discard_the_rest()
        return False
    except OSError as error:
        _discard_the_rest()
        raise InputError(f"the output cannot be written: {error.strerror}", ExitCode.CANNOT_WRITE) from error
    return True


def _discard_the_rest() -> None:
    """Point standard output to /dev/null: the interpreter writes buffered output again at exit, and fails again."""
    with Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), sys.stdout.fileno())
