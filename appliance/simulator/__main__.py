"""``appliance-simulator``: the Live API, on loopback unless told otherwise, for as long as it is wanted."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    # Where it is raised inside an import, KeyboardInterrupt comes out of numpy and pydantic as some other error.
    before = signal.signal(signal.SIGINT, _end)
    try:
        from appliance.simulator.program import run  # noqa: PLC0415  takes long enough for a Ctrl-C
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _end(_number: int, _frame: FrameType | None) -> None:
    """End at once: there is nothing yet to be put in order."""
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
