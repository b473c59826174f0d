"""Build the virtual sound card's ALSA plug-in, once for each version of its source."""

import hashlib
import os
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("pcm_virtual.c")
FLAGS: Final = ("-shared", "-fPIC", "-DPIC", "-O2", "-Wall", "-Wextra", "-Werror")


class BuildError(Exception):
    """The plug-in cannot be built; the text says what is missing."""


@cache
def plugin() -> Path:
    """Return the built library; safe to call from several processes at once.

    Raises:
        BuildError: There is no C compiler, or no ALSA headers, or PortAudio is missing.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise BuildError("no C compiler: apt-get install gcc libc6-dev")
    source = SOURCE.read_bytes()
    version = hashlib.sha256(source + repr((FLAGS, sysconfig.get_platform())).encode()).hexdigest()[:12]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voice-appliance"
    built = folder / f"libasound_module_pcm_virtual-{version}.so"
    if built.exists():
        return built
    folder.mkdir(parents=True, exist_ok=True)
    part = built.with_suffix(f".{os.getpid()}")
    done = subprocess.run(  # noqa: S603
        [compiler, *FLAGS, str(SOURCE), "-o", str(part), "-lasound"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        missing = "asoundlib.h" in done.stderr
        raise BuildError("no ALSA headers: apt-get install libasound2-dev" if missing else done.stderr)
    part.replace(built)
    return built
