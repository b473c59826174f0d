"""A real Debian in a container that systemd boots, and a provisioning server and a simulator outside of it.

The container shares the network of this machine, so that what listens on its loopback address is there too.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = "/usr/src/voice-appliance"
MADE = PROJECT / "out" / "roots"
"""What debootstrap has made is kept here."""
PACKAGES = "systemd,systemd-sysv,udev,dbus,ca-certificates"
_WANTED = ("appliance", "config", "scripts", "systemd", "LICENSE", "README.md", "pyproject.toml", "uv.lock")
_PASSED_ON = ("SSL_CERT_FILE", "PIP_CERT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "no_proxy")
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--wd")
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


def missing() -> str | None:
    """Return why there can be no such machine here; None where there can."""
    if os.geteuid() != 0:
        return "only root can boot a container"
    absent = [name for name in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def fresh_root(suite: str, folder: Path) -> Path:
    """Copy a fresh Debian to ``folder``, with this project's sources in it."""
    base = MADE / suite
    if not (base / "etc/debian_version").exists():
        shutil.rmtree(base, ignore_errors=True)
        half = base.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        half.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, half], check=True)
        half.rename(base)
    root = folder / suite
    subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
    # Certificates that this machine trusts, as a proxy on the way to the packages may need them.
    shutil.copyfile(f"/{_CERTIFICATES}", root / _CERTIFICATES)
    source = root / SOURCE[1:]
    source.mkdir()
    subprocess.run(["cp", "-a", *(PROJECT / name for name in _WANTED), source], check=True)
    return root


def in_image(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a root that is not booted, as in a chroot."""
    variables = [f"--setenv={name}={value}" for name, value in _environment().items()]
    return subprocess.run(
        ["systemd-nspawn", "--pipe", *_nspawn(root), *variables, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def _nspawn(root: Path) -> list[str]:
    name = f"--machine=appliance-{os.getpid()}"
    return ["--quiet", f"--directory={root}", name, "--register=no", "--keep-unit", "--resolv-conf=replace-host"]


def _environment() -> dict[str, str]:
    """Return what a command gets: of this environment only what packages may need to be fetched."""
    fixed = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
    return fixed | {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


@dataclass
class Debian:
    """A machine that runs."""

    root: Path
    leader: int
    """Its first process, as this machine sees it."""

    def run(self, *command: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root."""
        environment = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "HOME=/root",
        ]
        environment += [f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ]
        return subprocess.run(
            ["nsenter", f"--target={self.leader}", *_NAMESPACES, "env", "-i", *environment, *command],
            input=said,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def provision(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run(f"{SOURCE}/scripts/provision", *options)

    def says(self, *command: str) -> str:
        return self.run(*command).stdout.strip()

    def write(self, place: str, content: bytes | str, mode: int = 0o644) -> None:
        file = self.root / place.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)

    def fingerprint(self) -> dict[str, tuple[int, int, int]]:
        """Return mode, size and time of change of all that an installation could change; not what programs write."""
        found = {}
        for top in ("etc", "opt", "usr", "var/lib/dpkg"):
            for folder, _, files in os.walk(self.root / top):
                for name in files:
                    status = os.lstat(os.path.join(folder, name))  # noqa: PTH118  many thousands
                    found[f"{folder}/{name}"] = (status.st_mode, status.st_size, status.st_mtime_ns)
        return found


@contextmanager
def booted(root: Path) -> Iterator[Debian]:
    """Boot it; powered off at the end."""
    command = ["systemd-nspawn", "--boot", *_nspawn(root), "--console=pipe", "--kill-signal=SIGRTMIN+4"]
    with (root.parent / "console").open("wb") as console:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            start_new_session=True,
        )
    try:
        yield _up(root, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _up(root: Path, process: subprocess.Popen[bytes]) -> Debian:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            machine = Debian(root, int(children[0]))
            if machine.says("systemctl", "is-system-running") in {"running", "degraded"}:
                return machine
        time.sleep(0.2)
    raise AssertionError(f"it did not boot: {(root.parent / 'console').read_text('utf-8', 'replace')[-500:]}")


@dataclass
class World:
    """What is outside: where it is, and who runs it."""

    folder: Path
    url: str
    trusted: Path
    """The provisioning server's certificate."""
    live_trusted: Path
    config: Path

    def join_string(self) -> str:
        """Make a claim, and return its join string."""
        program = (sys.executable, "-m", "appliance.provisioning.server", "admin", "--config", self.config, "--json")
        command = (*program, "claims", "create", "--url", self.url)
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
        return str(json.loads(done.stdout)["join"])


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Run the simulator and a provisioning server."""
    with ExitStack() as stack:
        key = "a-key-for-the-simulator"
        (folder / "live").mkdir()
        simulator = stack.enter_context(
            _program("appliance.simulator", "--directory", folder / "live", "--api-key", key)
        )
        config = folder / "provisiond.toml"
        config.write_text(
            f'state_dir = "{folder / "state"}"\nlive_base_url = "{simulator["base_url"]}"\n'
            f'[upstream]\nbase_url = "{simulator["base_url"]}"\nca_file = "{simulator["ca_file"]}"\n'
        )
        options = ("--config", config, "--port", "0", "--development", folder / "state")
        server = stack.enter_context(_program("appliance.provisioning.server", *options, GEMINI_API_KEY=key))
        yield World(folder, server["url"], Path(server["ca_file"]), Path(simulator["ca_file"]), config)


@contextmanager
def _program(module: str, *options: str | Path, **variables: str) -> Iterator[dict[str, Any]]:
    with subprocess.Popen(
        [sys.executable, "-m", module, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=PROJECT,
        env=os.environ | variables,
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
