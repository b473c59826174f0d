"""openWakeWord's graphs on the ONNX runtime, computed like its streaming path, without its package.

For every hop of 80 ms: samples → 8 mel frames → one embedding of the last 76 mel frames → one score of the last
embeddings. Source: dscripka/openWakeWord v0.5.1, ``openwakeword/utils.py``, ``AudioFeatures._streaming_features``.
Scores are the same within 1e-4; without scikit-learn, it starts faster and needs a fraction of the memory.
"""

import copy
import math
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from appliance.errors import LocalModelError
from appliance.onnx.runtime import LoadedGraph
from appliance.units import UPLINK, Pcm, SampleIndex, Seconds
from appliance.wake.detector import Detector, Rule
from appliance.wake.models import Graphs
from appliance.wake.ports import Detection, Score

HOP: Final = 1280
"""Samples from one score to the next."""
SMALL_GAP: Final = UPLINK.frames(Seconds(0.2))
"""Longest loss, in samples, that does not mute scores: shorter than a syllable."""
DOUBT: Final = 0.1
"""Share of the rule's threshold from which `OpenWakeWordEngine.contains` finds a word. With alexa, that found each of
168 words whose echo in simulated rooms was taken for a person's; with 0.5, two were missed, for a room may make a word
clearer. Of 316 stretches of other speech it found none; the highest score was 0.04."""

_CONTEXT: Final = 480
"""Samples before a hop that its mel frames also need."""
_MEL_FRAMES: Final = 76
"""Mel frames in one embedding."""
_MEL_BINS: Final = 32
_MEL_STEP: Final = 8
"""Mel frames in a hop."""
_FEATURES: Final = 96
"""Length of an embedding."""
_QUIET_ROOM: Final = 10.0
"""Standard deviation of the noise that fills the buffers, in int16 steps: a quiet room."""

_Floats = npt.NDArray[np.float32]


class OpenWakeWordEngine:
    """A `WakeEngine` for one word.

    ``end_sample`` of a detection is the end of the hop that decided it. The word itself ends near it: measured against
    its acoustic end, the median is 20 ms before it, and 95 % are within 150 ms after it.

    A score is 0 while the buffers hold something that nobody said: for the first hops, and after a loss of more than
    `SMALL_GAP` samples. Cold buffers would give phantom words with scores up to 1.
    """

    def __init__(self, graphs: Graphs, rule: Rule) -> None:
        """Load the graphs and warm them up: takes tenths of a second on a laptop, seconds on a small Pi.

        Raises:
            LocalModelError: The ONNX runtime is not installed, or a graph is not usable.
        """
        self._pipeline = _Pipeline(graphs)
        self._detector = Detector(rule)
        self._doubted_from = rule.threshold * DOUBT
        self._model = graphs.model
        self._pending: Pcm = np.empty(0, np.int16)
        self._next: SampleIndex | None = None
        self._muted = self._pipeline.window
        self._warm_up()
        self._quiet = self._pipeline.fork()

    def feed(self, start: SampleIndex, samples: Pcm) -> tuple[list[Detection], list[Score]]:
        """See `WakeEngine.feed`.

        Raises:
            LocalModelError: A graph could not be computed.
        """
        self._align(start)
        self._next = SampleIndex(start + len(samples))
        pending = np.concatenate((self._pending, samples))
        hops = len(pending) // HOP
        self._pending = pending[hops * HOP :].copy()
        first = self._next - len(pending)
        scores = [
            self._score(SampleIndex(first + at + HOP), pending[at : at + HOP]) for at in range(0, hops * HOP, HOP)
        ]
        decided = (self._detector.decide(score) for score in scores)
        return [detection for detection in decided if detection is not None], scores

    def contains(self, recording: Pcm) -> bool:
        """See `WakeEngine.contains`.

        A word is found that ends in the recording after its first 1.3 s: until then, the buffers hold a quiet room.

        Raises:
            LocalModelError: A graph could not be computed.
        """
        pipeline, hops = self._quiet.fork(), len(recording) // HOP
        noise = _quiet_room(hops)  # digital silence is nothing that the graphs have learnt
        heard = np.clip(recording[len(recording) - hops * HOP :].reshape(hops, HOP) + noise, -32768, 32767)
        scores = [pipeline.score(hop) for hop in heard.astype(np.int16)]
        return max(scores[pipeline.window :], default=0.0) >= self._doubted_from

    def _align(self, start: SampleIndex) -> None:
        """Where samples were lost, begin a new hop at ``start``."""
        if self._next is None or start == self._next:
            return
        self._pending = self._pending[:0]
        if abs(start - self._next) > SMALL_GAP:
            self._muted = self._pipeline.memory

    def _score(self, end: SampleIndex, hop: Pcm) -> Score:
        score = self._pipeline.score(hop)
        if self._muted:
            self._muted -= 1
            score = 0.0
        return Score(self._model, end, score)

    def _warm_up(self) -> None:
        """Fill the buffers with a quiet room, the same one every time."""
        for hop in _quiet_room(self._pipeline.memory + 1):
            self._pipeline.score(hop)


class _Pipeline:
    """The three graphs, each with its part of the stream."""

    def __init__(self, graphs: Graphs) -> None:
        self._melspectrogram = LoadedGraph("melspectrogram", graphs.melspectrogram)
        self._embedding = LoadedGraph("embedding", graphs.embedding)
        self._classifier = LoadedGraph(graphs.model, graphs.classifier)
        self.window = _window(self._classifier)
        """Embeddings in one score."""
        self.memory = self.window + math.ceil(_MEL_FRAMES / _MEL_STEP)
        """Hops after which no earlier audio is left."""
        self.samples: _Floats = np.zeros((1, _CONTEXT + HOP), np.float32)
        self.mel: _Floats = np.zeros((1, _MEL_FRAMES, _MEL_BINS, 1), np.float32)
        self.embeddings: _Floats = np.zeros((1, self.window, _FEATURES), np.float32)

    def fork(self) -> Self:
        """Return another stream through the same graphs, which goes on from here."""
        twin = copy.copy(self)
        twin.samples, twin.mel, twin.embeddings = self.samples.copy(), self.mel.copy(), self.embeddings.copy()
        return twin

    def score(self, hop: Pcm) -> float:
        """Take the next `HOP` samples and return the score at their end."""
        _push(self.samples, hop.reshape(1, HOP))
        mel = _run(self._melspectrogram, self.samples).reshape(1, _MEL_STEP, _MEL_BINS, 1)
        _push(self.mel, mel / 10 + 2)
        _push(self.embeddings, _run(self._embedding, self.mel).reshape(1, 1, _FEATURES))
        return float(_run(self._classifier, self.embeddings).item())


def _window(classifier: LoadedGraph) -> int:
    """Return how many embeddings a classifier takes."""
    match [*classifier.inputs.values()], [*classifier.outputs.values()]:
        case [(_, int(window), 96)], [(_, 1), *_]:
            return window
        case takes, gives:
            raise LocalModelError(
                f"the graph {classifier.name} takes {takes} and gives {gives}: no classifier of one wake word"
            )


def _run(graph: LoadedGraph, given: _Floats) -> _Floats:
    """Return the output of a graph with one input."""
    [name] = graph.inputs
    return graph.run({name: given})[0]


def _quiet_room(hops: int) -> npt.NDArray[np.int16]:
    """Return its noise, shape (hops, HOP)."""
    return np.random.default_rng(0).normal(0.0, _QUIET_ROOM, (hops, HOP)).astype(np.int16)


def _push(ring: npt.NDArray[np.float32], new: npt.NDArray[Any]) -> None:
    """Shift ``new`` in at the end of ``ring``, along axis 1."""
    count = new.shape[1]
    ring[:, :-count] = ring[:, count:]
    ring[:, -count:] = new
