"""Finds the graph of the voice detector, and verifies it."""

from pathlib import Path
from typing import Final

from appliance.onnx.graphs import OWN_FOLDER, SILERO, Graph, has_file, package_folder, read_graph

SHA256: Final = "a35ebf52fd3ce5f1469b2a36158dba761bc47b973ea3382b3186ca15b1f5af28"
"""Digest of version 4 in the wheel of openwakeword 0.5.1."""


def load(own_folder: Path = OWN_FOLDER) -> Graph:
    """Read and verify the graph: the user's own, with its digest beside it, or that of the package.

    Raises:
        LocalModelError: It is missing or altered.
    """
    own = own_folder / SILERO
    return read_graph(own) if has_file(own) else read_graph(package_folder() / SILERO, SHA256)
