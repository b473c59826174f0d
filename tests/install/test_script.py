"""scripts/provision itself, on this machine: it looks at the join string before it fetches anything."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.install.machine import JOIN

pytestmark = pytest.mark.realtime

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "provision"
STAND_INS = {"id": "echo 0", "mktemp": 'exec /usr/bin/mktemp -p "$TMPDIR"', "flock": "exit 1"}
"""Somebody is root, and another installation is under way: nothing is ever fetched."""


def provision(folder: Path, *arguments: str, said: bytes = b"") -> tuple[int, str]:
    for name, does in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        [SCRIPT, *arguments],
        input=said,
        capture_output=True,
        check=False,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)},
    )
    return done.returncode, done.stderr.decode()


DAMAGED = JOIN[:20] + "x" + JOIN[21:]


@pytest.mark.parametrize("way", ["apart", "joined", "standard input"])
def test_a_damaged_join_string_is_told_before_all_else_and_not_repeated(tmp_path: Path, way: str):
    file = tmp_path / "join"
    file.write_text(DAMAGED)
    arguments = {
        "apart": ("--no-start", "--join-file", str(file)),
        "joined": (f"--join-file={file}",),
        "standard input": ("--join-file", "-"),
    }[way]
    code, error = provision(tmp_path, *arguments, said=DAMAGED.encode())
    assert (code, error) == (65, "provision: error: the join string has been damaged: copy it again\n")


@pytest.mark.parametrize("arguments", [(), ("--join-file", "-")])
def test_without_a_fault_in_it_the_installation_goes_on(tmp_path: Path, arguments: tuple[str, ...]):
    code, error = provision(tmp_path, *arguments, said=JOIN.encode())
    assert code in {1, 4}, "it does not come past the other installation"
    assert "join string" not in error
    assert not list(tmp_path.glob("tmp.*")), "what came by the standard input is on no disk"
