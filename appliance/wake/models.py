"""Finds the graphs of a wake word, and verifies them.

They come from the package openwakeword, or from `OWN_FOLDER`.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import LocalModelError
from appliance.onnx.graphs import OWN_FOLDER, SILERO, TFLITE, Graph, has_file, package_folder, read_graph

_MELSPECTROGRAM: Final = "melspectrogram.onnx"
_EMBEDDING: Final = "embedding_model.onnx"
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
    own = (path.stem for path in own_folder.glob("*.onnx") if path.name not in {*_SHA256, SILERO})
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
        name = model.removesuffix(".onnx").removesuffix(TFLITE)
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
        other = own_folder / f"{model}{TFLITE}"
        if has_file(other):
            return other  # its error message says what to do
        likely = difflib.get_close_matches(model, known, n=1)
        meant = f"did you mean {likely[0]}? " if likely else ""
        raise LocalModelError(f'unknown wake word "{model}": {meant}choose one of {", ".join(known)}')
    return _find(_WORDS.get(model, f"{model}.onnx"), own_folder)


def _find(file: str, own_folder: Path) -> Path:
    own = own_folder / file
    return own if has_file(own) else package_folder() / file


def _graph(path: Path) -> Graph:
    return read_graph(path, _SHA256.get(path.name))
