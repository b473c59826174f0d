"""The commands with which docs/server.md makes a service of the server: they leave what unit and server need."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.provisioning.server.certificate import Certificate
from appliance.provisioning.server.settings import load
from tests.provisioning.server.certificates import issue
from tests.support.provisioning import NOW
from tests.support.server_page import blocks, installing
from tests.support.units import SERVER, SYSTEMD, service

STUB = """#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
"""
PYTHON = STUB + 'mkdir -p "$3/bin" && cp "$(dirname "$0")/uv" "$3/bin/uv" && cp "$(dirname "$0")/uv" "$3/bin/pip"\n'
UV = STUB + 'touch "$(dirname "$0")/appliance-provisiond"\n'
INSTALL = """#!/bin/bash
# Without the group, which this machine does not have.
arguments=()
while [ $# -gt 0 ]; do if [ "$1" = -g ]; then echo "group $2" >>"$CALLS"; shift; else arguments+=("$1"); fi; shift; done
exec REAL "${arguments[@]}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """This project's folder, with the files that the page has made before."""
    made = tmp_path / "project"
    made.mkdir()
    shutil.copytree(SYSTEMD, made / "systemd")
    (settings,) = (block for block in blocks() if block.startswith("host ="))
    (made / "provisiond.toml").write_text(settings)
    (made / "gemini-api-key").write_text("the-key\n")
    issue(made, 90)
    return made


def test_what_they_leave_is_what_the_unit_names_and_the_server_reads(folder, tmp_path, monkeypatch):
    stubs, root, calls = tmp_path / "stubs", tmp_path / "root", tmp_path / "calls"
    stubs.mkdir()
    texts = {"python3": PYTHON, "uv": UV, "apt-get": STUB, "systemctl": STUB, "systemd-sysusers": STUB}
    texts["install"] = INSTALL.replace("REAL", str(shutil.which("install")))
    for name, text in texts.items():
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    (root / "opt").mkdir(parents=True)
    script = re.sub(r"(?<![\w.])/(etc|opt)/", rf"{root}/\1/", installing())
    environment = {"PATH": f"{stubs}:{os.environ['PATH']}", "CALLS": str(calls)}
    bash = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(bash, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "systemctl enable --now appliance-provisiond" in calls.read_text()
    assert "group appliance-provisiond" in calls.read_text()

    found = service(SERVER)
    program, _, config = found["ExecStart"][0].partition(" --config ")
    assert (root / program[1:]).exists()
    modes = {file.name: file.stat().st_mode & 0o777 for file in (root / config[1:]).parent.iterdir()}
    assert modes == {
        "provisiond.toml": 0o644,
        "tls-certificate.pem": 0o644,
        "tls-key.pem": 0o640,
        "gemini-api-key": 0o600,
    }
    assert (root / "etc/systemd/system" / SERVER.name).read_text() == SERVER.read_text()
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for given in found["LoadCredential"]:
        name, _, source = given.partition(":")
        shutil.copy(root / source[1:], credentials / name)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("STATE_DIRECTORY", f"/var/lib/{found['StateDirectory'][0]}")
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    settings = load(root / config[1:], {})
    assert settings.api_keys() == ("the-key",)
    assert settings.directory() == Path("/var/lib/appliance-provisiond")
    assert settings.tls_certificate
    assert settings.tls_key
    assert Certificate(settings.tls_certificate, settings.tls_key, lambda: NOW).expires_at > NOW


def test_the_services_commands_are_given_to_the_same_database_by_its_user():
    (block,) = (block for block in blocks() if "alias admin='sudo" in block)
    found = service(SERVER)
    (user,), (state,) = found["User"], found["StateDirectory"]
    program, _, config = found["ExecStart"][0].partition(" --config ")
    assert f"sudo -u {user} env STATE_DIRECTORY=/var/lib/{state}" in block
    assert f"{program} admin --config {config}'" in block
