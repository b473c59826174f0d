"""Releases: their names, and the checks that they pass."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.install.check_release import faults
from appliance.install.files import write
from appliance.install.machine import Machine
from appliance.install.release import digest
from tests.install.machine import FakeMachine

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / ".venv-uv/bin/uv"


def test_a_release_is_named_by_all_that_goes_into_it(fresh: FakeMachine):
    before = digest(fresh.source, (3, 11))
    assert digest(fresh.source, (3, 11)) == before
    assert digest(fresh.source, (3, 13)) != before
    (fresh.source / "appliance/__pycache__").mkdir()
    (fresh.source / "appliance/__pycache__/x.pyc").write_text("")
    assert digest(fresh.source, (3, 11)) == before
    fresh.edition("another")
    assert digest(fresh.source, (3, 11)) != before


def test_all_that_root_fetches_from_an_index_is_pinned_by_hash():
    """uv checks the hashes of uv.lock; what builds this project comes from requirements.txt, and not from an index."""
    pinned = (ROOT / "appliance/install/requirements.txt").read_text()
    wanted = [line for line in pinned.splitlines() if "==" in line and not line.startswith("#")]
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", pinned)) >= len(wanted) >= 5
    version = re.search(r"^readonly UV_VERSION=(.+)$", (ROOT / "scripts/environment").read_text(), re.MULTILINE)
    assert version
    assert f"uv=={version[1]} " in pinned
    for name in ("docs/server.md", "scripts/environment", "scripts/provision"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        installs = [line for line in text.splitlines() if re.search(r"\bpip install\b", line)]
        assert installs, name
        assert [line for line in installs if "--require-hashes" not in line] == [], name
    (sync,) = re.findall(r"uv sync \\\n.*", (ROOT / "docs/server.md").read_text())
    assert "--frozen" in sync
    assert "--no-build-isolation" in sync


@pytest.mark.skipif(not UV.exists(), reason="scripts/environment has not made this environment")
@pytest.mark.parametrize("extra", ["device", "server"])
def test_the_lock_becomes_a_list_of_all_that_a_release_is_made_of(tmp_path: Path, extra: str):
    file = tmp_path / "sbom.json"
    command = [str(UV), "export", "--quiet", "--frozen", "--offline", "--extra", extra, "--format", "cyclonedx1.5"]
    done = subprocess.run([*command, "--output-file", str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bom = json.loads(file.read_text())
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
    purls = {component["name"]: component["purl"] for component in bom["components"]}
    assert purls["google-genai"].startswith("pkg:pypi/google-genai@")
    assert ("fastapi" in purls) is (extra == "server")


def test_a_library_that_is_missing_is_named():
    assert list(faults(["json", "no_such_library"])) == ["no_such_library: No module named 'no_such_library'"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path):
    file = tmp_path / "a" / "b"
    write(file, b"one")
    (file.parent / ".b.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        write(file, b"two")
    assert file.read_bytes() == b"one"


def test_a_command_that_is_not_there_is_told(tmp_path: Path):
    answer = Machine(tmp_path, str(tmp_path)).query("no-such-command")
    assert (answer.code, answer.last_line()) == (127, "no-such-command is not installed")


def test_the_installation_takes_nothing_but_the_standard_library():
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import appliance.install.command"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux" or not Path("/usr/bin/python3").exists(), reason="no system's Python")
def test_the_script_needs_neither_root_nor_libraries_to_help():
    done = subprocess.run([ROOT / "scripts/provision", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--join-file" in done.stdout
