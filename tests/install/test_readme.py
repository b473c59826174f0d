"""The README's two commands on Debians on which nothing was ever installed, with the Pythons that those have.

Takes some minutes for each and a network, the first time more: debootstrap makes the Debians.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.debian import PROJECT, bare_root, in_image, missing, remove

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realtime,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
CHECKOUT = "/root/voice-appliance"


@pytest.fixture(params=["bookworm", "trixie"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A Debian with a checkout of this project and nothing else."""
    root = bare_root(request.param, tmp_path)
    checkout = root / CHECKOUT[1:]
    files = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, check=True, capture_output=True).stdout
    command: list[str | Path] = [
        "cp",
        "--parents",
        "-a",
        "--target-directory",
        checkout,
        *files.decode().split("\0")[:-1],
    ]
    checkout.mkdir()
    subprocess.run(command, cwd=PROJECT, check=True)
    yield root
    remove(root)


def test_both_commands_are_green(bare: Path):
    for command in ("demo", "test"):
        done = in_image(bare, f"{CHECKOUT}/scripts/{command}")
        assert done.returncode == 0, f"scripts/{command}:\n{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    assert "== not run" in done.stdout
