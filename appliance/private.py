"""Whether what is to be secret can be read by others on this machine. Standard library only."""

import stat
from pathlib import Path


def others_may_read(path: Path) -> bool:
    """Say whether users who neither own a file nor are of its group may read it, or list it where it is a directory.

    What lies in a directory that they may not enter is closed to them. False where it is not there, or where that
    cannot be seen.
    """
    try:
        whole = path.resolve()
        open_to_others = whole.stat().st_mode & stat.S_IROTH != 0
        return open_to_others and all(above.stat().st_mode & stat.S_IXOTH for above in whole.parents)
    except OSError:
        return False


def advice(path: Path) -> str:
    """Return what to do about it."""
    return f"chmod o= {path}"
