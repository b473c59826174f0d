"""scripts/provision itself, on this machine: it looks at the join string before it fetches anything."""

import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.install.machine import JOIN

pytestmark = pytest.mark.realtime

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "provision"
STAND_INS = {"id": "echo 0", "mktemp": 'exec /usr/bin/mktemp -p "$TMPDIR"', "flock": "exit 1"}
"""Somebody is root, and another installation is under way: nothing is ever fetched."""


@contextmanager
def stand_ins(folder: Path) -> Iterator[dict[str, str]]:
    """Yield an environment with them."""
    for name, does in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    yield {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TMPDIR": str(folder)}
    assert not list(folder.glob("tmp.*")), "a join string is on no disk"


def provision(folder: Path, *arguments: str, said: bytes = b"") -> tuple[int, str]:
    with stand_ins(folder) as environment:
        done = subprocess.run([SCRIPT, *arguments], input=said, capture_output=True, check=False, env=environment)
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
    assert (code, error) == (65, "provision: error: the join string is damaged: copy it again\n")


@pytest.mark.skipif(Path("/var/lib/voice-appliance/identity.json").exists(), reason="this machine is enrolled")
@pytest.mark.parametrize(("typed", "code"), [(DAMAGED, 65), (JOIN, 4)])
def test_who_is_asked_for_it_is_asked_first_and_told_at_once(tmp_path: Path, typed: str, code: int):
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as screen, stand_ins(tmp_path) as environment:
        process = subprocess.Popen([SCRIPT], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        shown = b""
        while b"is not shown" not in shown:
            shown += screen.read(4096)
        screen.write(f"{typed}\n".encode())
        with suppress(OSError):  # Linux says so at the end of a terminal
            while more := screen.read(4096):
                shown += more
    assert process.wait(30) == code or (code == 4 and process.returncode == 1)
    assert (b"damaged" in shown) == (code == 65)
    assert typed.encode() not in shown


@pytest.mark.parametrize("arguments", [("--no-start",), ("--join-file", "-")])
def test_without_a_fault_in_it_the_installation_goes_on(tmp_path: Path, arguments: tuple[str, ...]):
    code, error = provision(tmp_path, *arguments, said=JOIN.encode())
    assert code in {1, 4}, "it does not come past the other installation"
    assert "join string" not in error
