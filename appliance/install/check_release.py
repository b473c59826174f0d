"""Checks a new release from within: loads every library, and compares every model with its digest.

Exits 0, or 4 with a line for each fault.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError, ExitCode
from appliance.voice import models as voice_models
from appliance.wake.models import known_models, load

LIBRARIES: Final = (
    "appliance.app",
    "gpiozero",
    "onnxruntime",
    "pywebrtc_audio",
    "sounddevice",
    "soxr",
    "systemd.daemon",
    "systemd.journal",
)
PINS: Final = "lgpio"
"""Optional, and not loaded here: it would start a thread."""
_NOWHERE: Final = Path(os.devnull)
"""No directory: an installer's models are not part of a release."""


def faults(libraries: Sequence[str] = LIBRARIES) -> Iterator[str]:
    """Yield a line for each missing or damaged part."""
    for name in libraries:
        try:
            import_module(name)
        except (ImportError, OSError) as error:
            yield f"{name}: {error}"
    loads: list[Callable[[], object]] = [partial(load, model, _NOWHERE) for model in known_models(_NOWHERE)]
    loads.append(partial(voice_models.load, _NOWHERE))
    for verify in loads:
        try:
            verify()
        except ApplianceError as error:
            yield str(error)


def main() -> int:
    """Print the faults; return the exit code."""
    found = list(faults())
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    if find_spec(PINS) is None:
        sys.stdout.write(f"{PINS} is not installed: light and button on pins do not work\n")
    return ExitCode.UNFIT if found else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
