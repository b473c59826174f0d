"""The commands of docs/server.md that make a service of the provisioning server, on a fresh Debian that systemd runs.

Takes a minute and a network, the first time more: debootstrap makes the Debian.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.debian import SOURCE, Debian, booted, fresh_root, missing, remove
from tests.support.server_page import blocks, installing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realtime,
    pytest.mark.timeout(900),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
PORT = 18443


@pytest.fixture(params=["bookworm", "trixie"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Debian]:
    root = fresh_root(request.param, tmp_path)
    with booted(root) as machine:
        yield machine
    remove(root)


def bash(machine: Debian, script: str) -> str:
    done = machine.run("bash", "-euo", "pipefail", "-c", f"cd {SOURCE}\n{script}")
    assert done.returncode == 0, (script, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def block(begins: str) -> str:
    (found,) = (one for one in blocks() if begins in one)
    return found


def test_from_a_fresh_system_to_a_server_that_takes_a_renewed_certificate(fresh: Debian):
    bash(fresh, "apt-get update -q && apt-get install -y -q openssl sudo curl")
    make_certificate = block("openssl req")
    bash(fresh, make_certificate)
    # The container shares the network of this machine.
    fresh.write(f"{SOURCE}/provisiond.toml", block("host =") + f"port = {PORT}\n")
    fresh.write(f"{SOURCE}/gemini-api-key", "AIza-of-nobody\n", 0o600)
    bash(fresh, installing())

    ready = (
        f"curl -sf --retry 20 --retry-connrefused --cacert tls-certificate.pem --resolve nas.local:{PORT}:127.0.0.1 "
    )
    assert json.loads(bash(fresh, f"{ready} https://nas.local:{PORT}/readyz"))["status"] == "ok"
    alias = re.sub(r"^alias admin='(.*)'$", r"\1", block("alias admin='sudo").strip(), flags=re.DOTALL)
    admin = " ".join(alias.replace("\\\n", " ").split())
    made = json.loads(bash(fresh, f"{admin} --json claims create --label kitchen"))
    assert made["join"].startswith("va1.")
    (entry,) = json.loads(bash(fresh, f"{admin} --json audit tail"))
    assert entry["action"] == "claim-created"
    bash(fresh, f"{admin} backup /var/lib/appliance-provisiond/backup.tar")
    assert fresh.says("stat", "-c", "%U %a", "/var/lib/appliance-provisiond") == "appliance-provisiond 700"

    before = fresh.says("systemctl", "show", "-p", "MainPID", "appliance-provisiond")
    bash(fresh, make_certificate)
    install = [line for line in installing().splitlines() if "tls-" in line]
    bash(fresh, "\n".join(install))
    renewed = (
        f"for i in $(seq 80); do if {ready} https://nas.local:{PORT}/healthz; then exit 0; fi; sleep 1; done; exit 1"
    )
    bash(fresh, renewed)
    assert fresh.says("systemctl", "show", "-p", "MainPID", "appliance-provisiond") == before
