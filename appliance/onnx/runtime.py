"""Runs graphs on the ONNX runtime, which is imported with the first of them: that takes 0.2 s."""

import os
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from appliance.errors import ApplianceError, LocalModelError, translated
from appliance.onnx.graphs import Graph

QUIET: Final = "ORT_DISABLE_TELEMETRY"
"""Environment variable that turns the ONNX runtime's telemetry off."""


class LoadedGraph:
    """A graph, computed on the calling thread only.

    A second thread, or spinning threads, take three times the CPU time and gain nothing.
    """

    def __init__(self, name: str, graph: Graph) -> None:
        """``name`` stands in error messages.

        Raises:
            LocalModelError: The ONNX runtime is not installed, or the graph is not usable.
        """
        onnxruntime, self._errors = _runtime()
        self.name = name
        self._failure = f"the graph {name} cannot be used"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        weights = graph.weights
        with translated(self._errors, self._failure):
            if weights:
                sizes = [len(content) for content in weights.values()]
                options.add_external_initializers_from_files_in_memory([*weights], [*weights.values()], sizes)
            self._session = onnxruntime.InferenceSession(graph.content, options, providers=["CPUExecutionProvider"])
        self.inputs: dict[str, list[int | str | None]] = {one.name: one.shape for one in self._session.get_inputs()}
        """Shapes by name; a dimension that is not an int may have any size."""
        self.outputs: dict[str, list[int | str | None]] = {one.name: one.shape for one in self._session.get_outputs()}

    def run(self, given: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        """Return the outputs, all float32, in their order.

        Raises:
            LocalModelError: The inputs are not those of the graph, or it cannot be computed.
        """
        with translated(self._errors, self._failure):
            outputs: list[npt.NDArray[np.float32]] = self._session.run(None, given)
        return outputs


def _runtime() -> tuple[ModuleType, Mapping[type[Exception], type[ApplianceError]]]:
    """Import the ONNX runtime; return it, with the translation of its exceptions.

    The official builds report their use to Microsoft, and keep a device id and a database in the home folder for it,
    unless `QUIET` is set before the import (source: the ``Privacy.md`` that is installed with it, "Disabling
    Telemetry").
    """
    if os.environ.get(QUIET) != "1":
        os.environ[QUIET] = "1"
    try:
        import onnxruntime  # noqa: PLC0415
        from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415
    except ImportError as error:
        raise LocalModelError(f"the ONNX runtime is needed: {error}") from error
    foreign = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return onnxruntime, dict.fromkeys(foreign, LocalModelError)
