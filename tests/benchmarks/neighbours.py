"""Programs that take all the processor time that they are given."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

BUSY: Final = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""Ends with its parent, however that ends."""


@contextmanager
def busy_cores() -> Iterator[None]:
    """Have one for each core while the block runs."""
    neighbours = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for one in neighbours:
            one.kill()
            one.wait()
