"""The documents: what is generated from the code is current, and links and paths are right."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from appliance.config.load import load
from appliance.config.schema import Settings
from appliance.install import account, release, service
from appliance.install.machine import STATE
from appliance.provisioning.common.protocol import ProblemCode
from appliance.provisioning.server.settings import ServerSettings

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


def test_every_link_leads_somewhere():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not link.startswith("https:"):
                assert target.exists(), f"{page.name}: {link}"
                assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> list[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads]


def test_removing_a_device_leaves_nothing_that_the_installer_has_made():
    section = (ROOT / "docs/installing.md").read_text().partition("## Removing it")[2].partition("## ")[0]
    (log,) = re.findall(r"^readonly LOG=(.+)$", (ROOT / "scripts/provision").read_text(), re.MULTILINE)
    made = (release.HOME, account.CONFIGURATION, STATE, service.PROGRAM, service.UNIT_FILE, log)
    for path in (*made, account.SYSUSERS, account.TMPFILES, account.UDEV):
        assert re.search(rf"rm .*{re.escape(path)}(\s|$)", section), path
