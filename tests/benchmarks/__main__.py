"""Benchmarks: ``scripts/bench PART [--json FILE]``. Exits 0 when it could measure, whatever the figures say."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.benchmarks.figures import Figure, report

PARTS: Final = {
    "audio": "tests.benchmarks.audio",
    "echo": "tests.benchmarks.echo",
    "live": "tests.benchmarks.live",
    "provisioning": "tests.benchmarks.provisioning",
}
"""Each module has ``measure(progress) -> list[Figure]``."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure a part of the appliance.")
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures; with all: FILE-PART")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    words = Console(highlight=False, stderr=True)
    for part in PARTS if arguments.part == "all" else [arguments.part]:
        measure = importlib.import_module(PARTS[part]).measure
        figures: list[Figure] = measure(lambda line: words.print(line, style="dim"))
        path = arguments.json
        if path is not None and arguments.part == "all":
            path = path.with_name(f"{path.stem}-{part}{path.suffix}")
        report(part, figures, console, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
