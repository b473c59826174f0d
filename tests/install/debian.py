"""A real Debian in a container that systemd boots.

The container shares the network of this machine, so that what listens on its loopback address is there too.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCE = "/usr/src/voice-appliance"
MADE = PROJECT / "out" / "roots"
"""Cache of the root file systems that debootstrap has made."""
PACKAGES = "systemd,systemd-sysv,udev,dbus,ca-certificates"
_WANTED = ("appliance", "config", "docs", "scripts", "systemd", "LICENSE", "README.md", "pyproject.toml", "uv.lock")
_PASSED_ON = ("SSL_CERT_FILE", "PIP_CERT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "no_proxy")
_NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--wd")
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


def missing() -> str | None:
    """Return why there can be no such machine here; None where there can."""
    if os.geteuid() != 0:
        return "only root can boot a container"
    absent = [name for name in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    able = subprocess.run(["unshare", "--mount", "--pid", "--uts", "--fork", "true"], capture_output=True, check=False)
    return f"containers cannot be made here: {able.stderr.decode().strip()}" if able.returncode else None


def bare_root(suite: str, folder: Path) -> Path:
    """Copy a fresh Debian to ``folder``; skips where none can be fetched."""
    base = MADE / suite
    if not (base / "etc/debian_version").exists():
        half = base.with_suffix(".half")
        for folder_of_before in (base, half):
            remove(folder_of_before)
        half.parent.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, half]
        made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if made.returncode:
            pytest.skip(f"debootstrap cannot make {suite}: {made.stdout.strip().splitlines()[-1]}")
        half.rename(base)
    root = folder / suite
    subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
    # Certificates that this machine trusts, as a proxy on the way to the packages may need them.
    shutil.copyfile(f"/{_CERTIFICATES}", root / _CERTIFICATES)
    return root


def fresh_root(suite: str, folder: Path) -> Path:
    """Copy a fresh Debian to ``folder``, with what the installer needs of this project in it."""
    root = bare_root(suite, folder)
    source = root / SOURCE[1:]
    source.mkdir()
    subprocess.run(["cp", "-a", *(PROJECT / name for name in _WANTED), source], check=True)
    return root


def remove(root: Path) -> None:
    """Remove a root, and nothing that is mounted below it: debootstrap leaves /proc there where it is broken off."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        mounted = Path(line.split()[4])
        if mounted.is_relative_to(root):
            subprocess.run(["umount", mounted], check=True)
    subprocess.run(["rm", "-rf", "--one-file-system", "--", root], check=True)


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
    console = (root.parent / "console").read_text("utf-8", "replace")
    if "Welcome to" not in console:  # what systemd says first
        pytest.skip(f"containers do not boot here: {console[-500:]}")
    raise AssertionError(f"it did not come up: {console[-500:]}")
