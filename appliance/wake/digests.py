"""Whether a file is the one that was meant: its sha256, and the file that tells what it should be."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.errors import WakeModelError
from appliance.text import decoded

_DIGEST: Final = re.compile(r"\b[0-9A-Fa-f]{64}\b")


def verify(path: Path, content: bytes, expected: str | None, *more: Path) -> None:
    """Compare the content of a file with its digest.

    Where ``expected`` is None, that stands in the file beside it or in one of ``more``, as ``sha256sum`` writes it,
    with or without ``--tag``, for one file or several.

    Raises:
        WakeModelError: It is another file, or there is no digest.
    """
    expected = expected or _told(path, (beside(path), *more))
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WakeModelError(f"{path} is altered: its sha256 is {found[:8]}…, not {expected[:8]}…")


def beside(path: Path) -> Path:
    """Return where the digest of a file is expected."""
    return path.with_name(f"{path.name}.sha256")


def _told(path: Path, files: Sequence[Path]) -> str:
    remedy = f"sha256sum {path} > {files[0]}"
    there = [file for file in files if file.is_file()]
    if not there:
        raise WakeModelError(f"{path} has no digest beside it: {remedy}")
    for file in there:
        if (digest := _digest_in(file, path.name, sole=file == files[0])) is not None:
            return digest
    raise WakeModelError(f"{there[0]} holds no sha256 of {path.name}: {remedy}")


def _digest_in(file: Path, name: str, *, sole: bool) -> str | None:
    """Return the digest of ``name``; where no line names it and ``sole``, the only one that there is."""
    try:
        text = decoded(file.read_bytes())
    except OSError as error:
        raise WakeModelError(f"cannot read {file}: {error.strerror}") from error
    digests = {line: found[0] for line in text.splitlines() if (found := _DIGEST.search(line))}
    ends = re.compile(rf"(?<![^\s*(/\\]){re.escape(name)}(?=\s*$|\))")
    named = [digest for line, digest in digests.items() if ends.search(line)]
    if not named and sole and len(digests) == 1:
        named = [*digests.values()]
    return named[0].lower() if named else None
