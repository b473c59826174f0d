"""The Silero voice detector on the ONNX runtime.

Versions 4 (in the package openwakeword) and 5 to 6.2 (the user's own) differ in the names of the recurrent state and in
the samples before a window that they need; the graph shows which it is. Source: snakers4/silero-vad,
``utils_vad.py``, ``OnnxWrapper``. On a shared 2-core x86 machine, a window takes 0.17 ms of CPU with version 4, and
0.14 ms with version 6.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from appliance.errors import LocalModelError
from appliance.onnx.graphs import Graph
from appliance.onnx.runtime import LoadedGraph
from appliance.units import UPLINK, Pcm, SampleIndex
from appliance.voice.ports import WINDOW, WINDOW_S, SpeechProbability
from appliance.voice.windows import WindowCutter

_STATES: Final = {("h", "c"): 0, ("state",): 64}
"""Inputs that hold the recurrent state, in the order of the outputs after the first; the samples before a window."""
_FULL_SCALE: Final = 32768.0
_NOBODY: Final = 0.1
_FORGETS_WINDOWS: Final = round(1.0 / WINDOW_S)
"""Windows in a row with less than `_NOBODY`, after which it begins anew: after seconds of what is left of a reply,
version 4 gives a person 0.3 who would have 0.9 from the beginning."""


class SileroVoiceDetector:
    """A `VoiceDetector` that hears speech among other sounds, in any language."""

    def __init__(self, graph: Graph) -> None:
        """Load the graph: takes 25 ms on a laptop, and 0.2 s if the ONNX runtime is not imported yet.

        Raises:
            LocalModelError: The ONNX runtime is not installed, or the graph is not usable.
        """
        self._graph = LoadedGraph("silero_vad", graph)
        self._names = tuple(name for name in self._graph.inputs if name not in {"input", "sr"})
        if self._names not in _STATES:
            raise LocalModelError(f"the graph silero_vad takes {', '.join(self._graph.inputs)}: no known version")
        self._context = _STATES[self._names]
        self._windows = WindowCutter()
        self._quiet = 0
        self._reset()
        self._probability(np.zeros(WINDOW, np.int16))  # the first is slow, and fails where the graph is another
        self._reset()

    def feed(self, start: SampleIndex, samples: Pcm) -> list[SpeechProbability]:
        """See `VoiceDetector.feed`."""
        if self._windows.gap_before(start):
            self._reset()
        windows = self._windows.cut(start, samples)
        return [SpeechProbability(end, self._forgetful(window)) for end, window in windows]

    def _forgetful(self, window: Pcm) -> float:
        probability = self._probability(window)
        self._quiet = 0 if probability >= _NOBODY else self._quiet + 1
        if self._quiet == _FORGETS_WINDOWS:
            self._reset()
        return probability

    def _reset(self) -> None:
        self._quiet = 0
        self._state = [_zeros(self._graph.inputs[name]) for name in self._names]
        self._samples = np.zeros((1, self._context + WINDOW), np.float32)

    def _probability(self, window: Pcm) -> float:
        self._samples[:, : self._context] = self._samples[:, WINDOW:]
        self._samples[:, self._context :] = window / _FULL_SCALE
        given: dict[str, npt.NDArray[Any]] = dict(zip(self._names, self._state, strict=True))
        given |= {"input": self._samples, "sr": np.array(UPLINK.rate_hz, np.int64)}
        probability, *self._state = self._graph.run(given)
        return float(probability.flat[0])


def _zeros(shape: list[int | str | None]) -> npt.NDArray[np.float32]:
    """Return the state before the first sample of one stream."""
    return np.zeros([size if isinstance(size, int) else 1 for size in shape], np.float32)
