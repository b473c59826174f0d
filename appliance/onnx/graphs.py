"""Reads ONNX graphs, and verifies them by sha256 before they run.

Nothing is downloaded: graphs come from the package openwakeword 0.5.1, which is located and never imported (its code
would import scikit-learn), or from `OWN_FOLDER`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from appliance.errors import LocalModelError
from appliance.text import decoded

OWN_FOLDER: Final = Path("/etc/voice-appliance/models")
"""The user's own graphs, which take precedence; each has its digest beside it, as ``sha256sum`` writes it."""
PACKAGE: Final = "openwakeword"
PACKAGE_VERSION: Final = "0.5.1"
"""The last version that contains the graphs; 0.4.0, which plain pip picks on Python 3.12 and later, has others."""
REMEDY: Final = f"pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}"
SILERO: Final = "silero_vad.onnx"
"""The graph of the voice detector: in the folder of the user's own it is no wake word."""
TFLITE: Final = ".tflite"

_DIGEST: Final = re.compile(r"\b[0-9A-Fa-f]{64}\b")
_LOCATION: Final = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")
"""In an ONNX file: the entry of a tensor that names its weights file; then the length of the name, and the name."""


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX graph, verified."""

    content: bytes
    weights: Mapping[str, bytes] = field(default_factory=dict)
    """Weights that the graph keeps in files beside it, by their names in the graph."""


def package_folder() -> Path:
    """Return the folder of the package's graphs.

    Raises:
        LocalModelError: The package is not installed in that version.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise LocalModelError(f"{PACKAGE}, which contains the graphs, is not installed: {REMEDY}")
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        version = "of unknown version"
    if version != PACKAGE_VERSION:
        raise LocalModelError(f"{PACKAGE} {version} is installed, which contains other graphs: {REMEDY}")
    return Path(spec.submodule_search_locations[0], "resources", "models")


def has_file(path: Path) -> bool:
    """Return whether a file is there.

    Raises:
        LocalModelError: Its folder cannot be read. (`Path.is_file` raises PermissionError before Python 3.14.)
    """
    try:
        return path.is_file()
    except OSError as error:
        raise LocalModelError(f"cannot read {path}: {error.strerror}") from error


def read_graph(path: Path, sha256: str | None = None) -> Graph:
    """Read a graph and the weights beside it.

    Args:
        path: The ONNX file.
        sha256: Its digest; None to read that from the file beside it.

    Raises:
        LocalModelError: A file is missing or altered, has no digest, or is no graph.
    """
    content = _read(path)
    if path.suffix == TFLITE or content[4:8] == b"TFL3":
        raise LocalModelError(f"{path} is a TensorFlow Lite graph: use the ONNX file of the same model instead")
    if content.startswith(b"version https://git-lfs"):
        raise LocalModelError(f"{path} is a Git LFS pointer instead of the graph: run git lfs pull where you got it")
    _verify(path, content, sha256)
    return Graph(content, {name: _weights(path, name) for name in _kept_elsewhere(content)})


def _kept_elsewhere(content: bytes) -> Iterator[str]:
    for found in _LOCATION.finditer(content):
        yield content[found.end() :][: found[1][0]].decode("utf-8", "replace")


def _weights(graph: Path, name: str) -> bytes:
    """Return a file beside a graph, verified."""
    path = graph.with_name(name) if Path(name).name == name else None
    if path is None or not has_file(path):
        raise LocalModelError(f"{graph} keeps its weights in {name}: put that file beside it, with its digest")
    content = _read(path)
    _verify(path, content, None, _digest_file(graph))
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalModelError(f"cannot read {path}: {error.strerror}") from error


def _verify(path: Path, content: bytes, expected: str | None, *more: Path) -> None:
    """Compare the content of a file with its digest.

    Where ``expected`` is None, the digest is read from the file beside it or from one of ``more``, as ``sha256sum``
    writes it, with or without ``--tag``, for one file or several.

    Raises:
        LocalModelError: The digest differs, or there is none.
    """
    expected = expected or _expected_digest(path, (_digest_file(path), *more))
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise LocalModelError(f"{path} is altered: its sha256 is {found[:8]}…, not {expected[:8]}…")


def _digest_file(path: Path) -> Path:
    """Return the file in which the digest of a file is expected."""
    return path.with_name(f"{path.name}.sha256")


def _expected_digest(path: Path, files: Sequence[Path]) -> str:
    remedy = f"sha256sum {path} > {files[0]}"
    there = [file for file in files if has_file(file)]
    if not there:
        raise LocalModelError(f"{path} has no digest beside it: run {remedy}")
    for file in there:
        if (digest := _digest_in(file, path.name, sole=file == files[0])) is not None:
            return digest
    raise LocalModelError(f"{there[0]} holds no sha256 of {path.name}: run {remedy}")


def _digest_in(file: Path, name: str, *, sole: bool) -> str | None:
    """Return the digest of ``name``; with ``sole``, the only one in the file even where no line names it."""
    try:
        text = decoded(file.read_bytes())
    except OSError as error:
        raise LocalModelError(f"cannot read {file}: {error.strerror}") from error
    digests = {line: found[0] for line in text.splitlines() if (found := _DIGEST.search(line))}
    ends = re.compile(rf"(?<![^\s*(/\\]){re.escape(name)}(?=\s*$|\))")
    named = [digest for line, digest in digests.items() if ends.search(line)]
    if not named and sole and len(digests) == 1:
        named = [*digests.values()]
    return named[0].lower() if named else None
