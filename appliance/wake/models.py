"""Finds the graphs of a wake word, and verifies them.

Every graph is checked by sha256 before it runs. Nothing is downloaded: the graphs come from the package openwakeword
0.5.1, which is located and never imported (its code would import scikit-learn), or from `OWN_FOLDER`.
"""

import difflib
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

_MELSPECTROGRAM: Final = "melspectrogram.onnx"
_EMBEDDING: Final = "embedding_model.onnx"
_TFLITE: Final = ".tflite"
_WORDS: Final[Mapping[str, str]] = {
    "alexa": "alexa_v0.1.onnx",
    "hey_jarvis": "hey_jarvis_v0.1.onnx",
    "hey_mycroft": "hey_mycroft_v0.1.onnx",
    "hey_rhasspy": "hey_rhasspy_v0.1.onnx",
}
_SHA256: Final[Mapping[str, str]] = {
    _MELSPECTROGRAM: "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    _EMBEDDING: "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
    "alexa_v0.1.onnx": "6ff566a01d12670e8d9e3c59da32651db1575d17272a601b7f8a39283dfbae3e",
    "hey_jarvis_v0.1.onnx": "94a13cfe60075b132f6a472e7e462e8123ee70861bc3fb58434a73712ee0d2cb",
    "hey_mycroft_v0.1.onnx": "c2a311e8fa1338de89c31b3b46dc4dffd4af2f9a8d6ddead48893c2d301b1f18",
    "hey_rhasspy_v0.1.onnx": "5a9b3ed3be2910e35780e097905aa9f35a9c10038df47914cf2b3ec4d670f6ea",
}
"""Digests of the ONNX files in the wheel of openwakeword 0.5.1."""
_DIGEST: Final = re.compile(r"\b[0-9A-Fa-f]{64}\b")
_LOCATION: Final = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])")
"""In an ONNX file: the entry of a tensor that names its weights file; then the length of the name, and the name."""


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX graph, verified."""

    content: bytes
    weights: Mapping[str, bytes] = field(default_factory=dict)
    """Weights that the graph keeps in files beside it, by their names in the graph."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """The three graphs that detect one word."""

    model: str
    """Name of the word."""
    melspectrogram: Graph
    embedding: Graph
    classifier: Graph


def known_models(own_folder: Path = OWN_FOLDER) -> tuple[str, ...]:
    """Return the names that `load` accepts: the package's words and those in ``own_folder``."""
    own = (path.stem for path in own_folder.glob("*.onnx") if path.name not in _SHA256)
    return *_WORDS, *sorted(own)


def load(model: str, own_folder: Path = OWN_FOLDER) -> Graphs:
    """Read and verify the graphs of ``model``: a name, or the path of a classifier graph (it has a slash).

    A graph may keep its weights in files beside it, as PyTorch exports it; each of them is verified too.

    Raises:
        LocalModelError: The name is unknown, or a graph is missing or altered.
    """
    if "/" in model:
        name, classifier = Path(model).stem, Path(model)
    else:
        name = model.removesuffix(".onnx").removesuffix(_TFLITE)
        classifier = _classifier(name, own_folder)
    return Graphs(
        name,
        _graph(_find(_MELSPECTROGRAM, own_folder)),
        _graph(_find(_EMBEDDING, own_folder)),
        _graph(classifier),
    )


def _classifier(model: str, own_folder: Path) -> Path:
    known = known_models(own_folder)
    if model not in known:
        other = own_folder / f"{model}{_TFLITE}"
        if other.is_file():
            return other  # its error message says what to do
        likely = difflib.get_close_matches(model, known, n=1)
        meant = f"did you mean {likely[0]}? " if likely else ""
        raise LocalModelError(f'unknown wake word "{model}": {meant}choose one of {", ".join(known)}')
    return _find(_WORDS.get(model, f"{model}.onnx"), own_folder)


def _find(file: str, own_folder: Path) -> Path:
    own = own_folder / file
    return own if own.is_file() else _package_folder() / file


def _package_folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise LocalModelError(f"{PACKAGE}, which contains the wake-word graphs, is not installed: {REMEDY}")
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        version = "of unknown version"
    if version != PACKAGE_VERSION:
        raise LocalModelError(f"{PACKAGE} {version} is installed, which contains other wake-word graphs: {REMEDY}")
    return Path(spec.submodule_search_locations[0], "resources", "models")


def _graph(path: Path) -> Graph:
    content = _read(path)
    if path.suffix == _TFLITE or content[4:8] == b"TFL3":
        raise LocalModelError(f"{path} is a TensorFlow Lite graph: set wake.model to the ONNX file of the same word")
    if content.startswith(b"version https://git-lfs"):
        raise LocalModelError(f"{path} is a Git LFS pointer instead of the graph: run git lfs pull where you got it")
    _verify(path, content, _SHA256.get(path.name))
    return Graph(content, {name: _weights(path, name) for name in _kept_elsewhere(content)})


def _kept_elsewhere(content: bytes) -> Iterator[str]:
    for found in _LOCATION.finditer(content):
        yield content[found.end() :][: found[1][0]].decode("utf-8", "replace")


def _weights(graph: Path, name: str) -> bytes:
    """Return a file beside a graph, verified."""
    path = graph.with_name(name) if Path(name).name == name else None
    if path is None or not path.is_file():
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
    there = [file for file in files if file.is_file()]
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
