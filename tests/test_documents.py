"""What is generated from the code is current."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from appliance.config.load import load
from appliance.config.schema import Settings
from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server.settings import Settings as ServerSettings

ROOT = Path(__file__).resolve().parents[1]


def test_generated_documents_are_current():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "render-docs"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_settings_file_says_the_defaults(tmp_path: Path):
    """Taking the "#" off every line that holds a value changes nothing; other forms of a section are left out."""
    kept, skipping = [], False
    for line in (ROOT / "config" / "appliance.toml").read_text().splitlines():
        skipping = "or:" in line or (skipping and line != "" and not line.startswith("["))
        taken = re.sub(r"^#(?=[\w\[])", "", line)
        if not skipping and "..." not in taken:
            kept.append(taken)
    file = tmp_path / "appliance.toml"
    file.write_text("\n".join(kept))
    effective = load([file])
    assert effective.settings.model_dump() == Settings().model_dump()
    assert len(effective.origins) >= 40


def test_the_server_settings_file_says_the_defaults():
    text = (ROOT / "config" / "provisiond.toml").read_text()
    values = tomllib.loads(
        "\n".join(re.sub(r"^#(?=[\w\[])", "", line) for line in text.splitlines() if "..." not in line)
    )
    assert values["model"] == ServerSettings.model_fields["model"].default
    assert values["devices"] == {}


def test_every_problem_of_the_server_is_told():
    rows = re.findall(r"^\| ([a-z-]+) \| \d{3} \|.*“.+” \|$", (ROOT / "docs/provisioning.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(ProblemCode)


def test_every_feature_names_tests_that_exist():
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", (ROOT / "docs" / "features.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 34))
    for number, proof in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", proof)
        assert named, number
        assert [path for path in named if not (ROOT / path).is_file()] == []
