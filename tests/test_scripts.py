"""The scripts of the checkout, in a place of their own: what they run is written down, not run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = 'make_environment() { :; }\nmake_soundcard_ready() { :; }\nsay() { echo "$*" >&2; }\n'


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def checkout(place: Path, script: str) -> Path:
    """A checkout with one script, which finds its environment made."""
    (place / "scripts").mkdir(parents=True)
    (place / "scripts" / "environment").write_text(ENVIRONMENT)
    return Path(shutil.copy(ROOT / "scripts" / script, place / "scripts"))


def run(*command: str | Path, folder: Path, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env={"PATH": path}, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("failing", [None, "ruff", "mypy", "lint-imports", "python", "shellcheck", "pytest"])
def test_one_check_that_fails_is_a_failure_of_all(failing: str | None, tmp_path: Path):
    script = checkout(tmp_path, "test")
    for name in ("ruff", "mypy", "lint-imports", "python", "shellcheck", "pytest"):
        program(tmp_path / ".venv" / "bin" / name, f"exit {int(name == failing)}")
    done = run(script, folder=tmp_path, path=f"{tmp_path}/.venv/bin:/usr/bin:/bin")
    assert (done.returncode != 0) is (failing is not None)


@pytest.mark.parametrize("wake", [["--wake", "hey_jarvis"], ["--wake=hey_jarvis"]])
def test_a_virtual_card_hears_the_scene_of_the_word_and_paths_count_from_the_caller(wake: list[str], tmp_path: Path):
    place = tmp_path / "checkout"
    script = checkout(place, "demo")
    scene = place / "appliance" / "demo" / "recordings" / "scene_hey_jarvis.wav"
    scene.parent.mkdir(parents=True)
    scene.write_bytes(bytes(32_000 * 12))
    program(place / ".venv" / "bin" / "python", 'pwd; for word; do echo "$word"; done')
    (tmp_path / "link").symlink_to(script)
    done = run(tmp_path / "link", "--card", "virtual", *wake, "--report", "mine.json", folder=tmp_path)
    folder, *words = done.stdout.splitlines()
    assert folder == str(tmp_path)
    assert words[:4] == ["-m", "appliance.virtual_card", "--mic", str(scene)]
    assert words[words.index("--wait") + 1] == "20"
    assert words[-2 - len(wake) :] == [*wake, "--report", "mine.json"]


@pytest.mark.parametrize("room", [["--room", "0.3m"], ["--room=0.3m"], ["--card", "virtual", "--room", "0.3m"]])
def test_a_room_has_a_card_of_its_own(room: list[str], tmp_path: Path):
    script = checkout(tmp_path, "demo")
    with (tmp_path / "scripts" / "environment").open("a") as file:
        file.write("make_soundcard_ready() { echo headers; }\n")
    program(tmp_path / ".venv" / "bin" / "appliance", 'for word; do echo "$word"; done')
    headers, *words = run(script, *room, folder=tmp_path).stdout.splitlines()
    assert headers == "headers"
    assert words[0] == "demo"
    assert words[-len(room) if "virtual" not in room else -2 :] == [
        word for word in room if word not in ("--card", "virtual")
    ]


def test_an_environment_is_kept_until_the_checkout_moves(tmp_path: Path):
    first, second = tmp_path / "first place", tmp_path / "second"
    checkout(first, "environment")
    for name in ("uv.lock", "pyproject.toml"):
        (first / name).write_text("")
    version = (ROOT / "scripts" / "environment").read_text().partition("UV_VERSION=")[2].split()[0]
    sync = 'mkdir -p .venv/bin; cp "$0" .venv/bin/appliance'
    program(first / ".venv-uv" / "bin" / "uv", f"[ $1 = --version ] && echo uv {version} || {{ {sync}; }}")
    make = f". scripts/environment; missing_packages() {{ :; }}; make_environment .venv {sys.executable}"
    assert "Making .venv" in run("bash", "-c", make, folder=first).stderr
    (first / ".venv" / "mark").touch()
    assert run("bash", "-c", make, folder=first).stderr == ""
    first.rename(second)
    assert "Making .venv" in run("bash", "-c", make, folder=second).stderr
    assert sorted(path.name for path in (second / ".venv").iterdir()) == [".made-from", "bin"]


@pytest.mark.parametrize(("known", "missing"), [("libportaudio.so.2", False), ("libasound.so.2", True)])
def test_a_library_is_found_among_very_many(known: str, missing: bool, tmp_path: Path):
    checkout(tmp_path, "environment")
    # More than a pipe holds, and the library first: a reader that stops there would break the pipe.
    program(tmp_path / "bin" / "ldconfig", f"echo '  {known} (libc6,x86-64)'; seq 100000")
    ask = "set -euo pipefail; . scripts/environment; missing_packages"
    done = run("bash", "-c", ask, folder=tmp_path, path=f"{tmp_path}/bin:/usr/bin:/bin")
    assert ("libportaudio2" in done.stdout.split()) is missing


def test_the_second_command_says_what_it_left_out(tmp_path: Path):
    script = checkout(tmp_path, "test")
    for name in ("ruff", "mypy", "lint-imports", "python", "pytest"):
        program(tmp_path / ".venv" / "bin" / name, "exit 0")
    for name in ("dirname", "readlink", "bash"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(f"/usr/bin/{name}")
    done = run(script, folder=tmp_path, path=f"{tmp_path}/bin")
    _, _, left_out = done.stdout.partition("== not run\n")
    assert done.returncode == 0
    for wanted in ("apt-get install shellcheck", "slow and not postgres", "apt-get install postgresql"):
        assert wanted in left_out
