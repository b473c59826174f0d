"""Checks whether other users of this machine can read a secret file. Standard library only."""

import stat
from pathlib import Path


def others_may_read(path: Path) -> bool:
    """Return whether users outside owner and group may read a file, or list a directory.

    They cannot reach anything below a directory that they may not enter. False if the path does not exist or cannot
    be examined.
    """
    try:
        resolved = path.resolve()
        open_to_others = resolved.stat().st_mode & stat.S_IROTH != 0
        return open_to_others and all(above.stat().st_mode & stat.S_IXOTH for above in resolved.parents)
    except OSError:
        return False


def chmod_advice(path: Path) -> str:
    """Return the command that fixes it."""
    return f"chmod o= {path}"
