"""``appliance-simulator``: the Live API without Google, by default on loopback."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    # Raised during an import, KeyboardInterrupt leaves numpy and pydantic as some other error.
    before = signal.signal(signal.SIGINT, _exit_now)
    try:
        from appliance.simulator.program import run  # noqa: PLC0415  takes long enough for a Ctrl-C
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _exit_now(_number: int, _frame: FrameType | None) -> None:
    """Exit at once: there is nothing to clean up yet."""
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
