"""ONNX files, written by hand: a classifier with its weights inside or in a file beside it, as PyTorch exports them.

The numbers of the fields are those of onnx/onnx.proto.
"""

import hashlib
from pathlib import Path

import numpy as np

WINDOW, FEATURES = 2, 96
_FLOAT, _INT64 = 1, 7


def save(folder: Path, name: str, weights_in: str | None = None) -> Path:
    """Write a classifier that always scores 0.5; with ``weights_in``, its weights lie in a file of that name."""
    weights = np.zeros(WINDOW * FEATURES, "<f4").tobytes()
    tensor = _number(1, WINDOW * FEATURES) + _number(1, 1) + _number(2, _FLOAT) + _text(8, "W")
    if weights_in is None:
        tensor += _bytes(9, weights)
    else:
        entries = {"location": weights_in, "offset": "0", "length": str(len(weights))}
        tensor += b"".join(_bytes(13, _text(1, key) + _text(2, value)) for key, value in entries.items())
        tensor += _number(14, 1)
        (folder / weights_in).write_bytes(weights)
    nodes = [("Flatten", ["x"], "f"), ("MatMul", ["f", "W"], "m"), ("Sigmoid", ["m"], "y")]
    graph = _nodes(nodes) + _bytes(5, tensor) + _value(11, "x", (1, WINDOW, FEATURES)) + _value(12, "y", (1, 1))
    return _write(folder / f"{name}.onnx", graph)


def save_voice(folder: Path, *, window: int, context: int, looks_at: int) -> Path:
    """Write a voice detector with the inputs of Silero 5 and later: the sigmoid of one sample of its input.

    It looks at sample ``looks_at`` of the ``context`` and the window after it.
    """
    weights = np.zeros(context + window, "<f4")
    weights[looks_at] = 1.0
    nodes = [
        ("MatMul", ["input", "W"], "m"),
        ("Sigmoid", ["m"], "output"),
        ("Identity", ["state"], "stateN"),
    ]
    graph = _nodes(nodes)
    graph += _bytes(
        5, _number(1, len(weights)) + _number(1, 1) + _number(2, _FLOAT) + _text(8, "W") + _bytes(9, weights.tobytes())
    )
    graph += _value(11, "input", (1, len(weights))) + _value(11, "state", (2, 1, 128)) + _value(11, "sr", (), _INT64)
    graph += _value(12, "output", (1, 1)) + _value(12, "stateN", (2, 1, 128))
    return _write(folder / "silero_vad.onnx", graph)


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _nodes(nodes: list[tuple[str, list[str], str]]) -> bytes:
    return _text(2, "word") + b"".join(
        _bytes(1, b"".join(_text(1, one) for one in takes) + _text(2, gives) + _text(4, kind))
        for kind, takes, gives in nodes
    )


def _write(path: Path, graph: bytes) -> Path:
    path.write_bytes(_number(1, 9) + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, 17)))
    return path


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varint(value >> 7)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _value(field: int, name: str, shape: tuple[int, ...], kind: int = _FLOAT) -> bytes:
    dimensions = b"".join(_bytes(1, _number(1, size)) for size in shape)
    return _bytes(field, _text(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, dimensions))))
