"""A machine in a folder: a root with the least of a Debian, and commands that do to it what the true ones would."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance.install.command import install
from appliance.install.machine import Machine
from appliance.provisioning.common.join_string import wrap

JOIN = wrap("dGhpcyBpcyBhIHNlY3JldCBvZiBhIHdob2xlIGhvdXNlaG9sZA")
OS_RELEASE = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'

# Each is told where the machine is by $ROOT, and where the test says what is to go wrong by $FAKES.
_COMMANDS = {
    "dpkg-query": 'cat "$FAKES/packages"',
    "apt-cache": 'echo "Candidate: (none)"',
    "apt-get": """
case "$*" in
*install*) for name; do :; done
  [ ! -e "$FAKES/apt-is-full" ] || { echo "write: No space left on device" >&2; exit 100; }
  for name in ca-certificates libportaudio2 libjack python3-systemd; do
    case "$name $*" in libjack*|*" $name"*) echo "$name installed" >>"$FAKES/packages";; esac
  done
  [ ! -e "$FAKES/apt-fails" ] || { echo "E: Unable to fetch some archives" >&2; exit 100; } ;;
*purge*) for name; do grep -v "^$name " "$FAKES/packages" >"$FAKES/left"; mv "$FAKES/left" "$FAKES/packages"; done ;;
esac""",
    "systemd-sysusers": """
grep -q ^voice-appliance: "$ROOT/etc/passwd" 2>/dev/null || {
  echo voice-appliance:x:990:990::/var/lib/voice-appliance:/usr/sbin/nologin >>"$ROOT/etc/passwd"
  printf 'audio:x:29:voice-appliance\\ngpio:x:991:pi,voice-appliance\\n' >>"$ROOT/etc/group"
}""",
    "systemd-tmpfiles": 'mkdir -p "$ROOT/etc/voice-appliance" "$ROOT/var/lib/voice-appliance"',
    "uv": """
case "$1" in
venv) for folder; do :; done
  mkdir -p "$folder/bin"; cp "$FAKES/appliance" "$FAKES/python" "$folder/bin" ;;
export) for file; do :; done; echo '{"bomFormat": "CycloneDX"}' >"$file" ;;
sync) [ ! -e "$FAKES/uv-fails" ] || { echo "error: Failed to fetch" >&2; exit 2; } ;;
esac""",
    "hatchling": 'mkdir -p "$5" && : >"$5/voice_appliance-0.whl"',
    "systemctl": """
case "$1" in
is-active) [ -e "$FAKES/active" ] ;;
is-enabled) [ -e "$FAKES/enabled" ] ;;
enable) : >"$FAKES/enabled" ;;
disable) rm -f "$FAKES/enabled" "$FAKES/active" ;;
stop) rm -f "$FAKES/active" ;;
start|restart)
  rm -f "$FAKES/active"
  now=$(readlink "$ROOT/opt/voice-appliance/current") never=$(cat "$FAKES/does-not-start" 2>/dev/null || echo none)
  case "$now" in *"$never"*) exit 1;; esac
  echo "$now" >"$FAKES/active" ;;
show) echo 78 ;;
esac""",
    "journalctl": """
case "$*" in
*_SYSTEMD_UNIT=*) [ -e "$FAKES/is-mute" ] || echo appliance: error: live.voce: there is no such setting ;;
*) echo appliance.service: Failed with result exit-code. ;;
esac""",
    "setpriv": """
while [ "$1" != -- ]; do shift; done
shift; exec "$@" """,
    # In a release.
    "python": """
echo "$ORT_DISABLE_TELEMETRY" >"$FAKES/no-telemetry"
[ ! -e "$FAKES/altered-model" ] || { echo "alexa_v0.1.onnx is altered" >&2; exit 4; }""",
    "appliance": """
case "$1" in
enrol)
  [ ! -e "$FAKES/true-python" ] || exec "$(cat "$FAKES/true-python")" -m appliance "$@"
  cat >"$FAKES/joined"
  [ ! -e "$FAKES/enrol-fails" ] || { echo "appliance: error: no luck" >&2; exit "$(cat "$FAKES/enrol-fails")"; }
  echo '{"device_id": "stand-in"}' >"$STATE_DIRECTORY/identity.json"
  echo "waiting for approval" ;;
selftest)
  [ ! -e "$FAKES/selftest-breaks" ] || { echo "appliance: error: a bug" >&2; exit 1; }
  cat "$FAKES/selftest.json"; ! grep -q problem "$FAKES/selftest.json" || exit 4 ;;
doctor)
  [ ! -e "$FAKES/loop-fails" ] || { echo "appliance: error: no sound" >&2; exit 66; }
  echo '[{"name": "noise", "severity": "ok", "found": "quiet", "advice": ""},'
  echo '{"name": "interrupting", "severity": "note", "found": "speak from 1 m", "advice": "turn it away"}]' ;;
esac""",
}
QUESTIONS = ("dpkg-query", "apt-cache", "systemctl is-active", "systemctl is-enabled", "journalctl", "systemctl show")


@dataclass
class FakeMachine:
    """The folder, and what was done to it."""

    root: Path
    fakes: Path
    source: Path

    def install(self, join: Path | None = None, dry_run: bool = False, start_now: bool = True) -> int:
        """Install, with a join string unless there is a file with another."""
        join_file = join or self.file("join", JOIN)
        return install(self.machine, join_file, self.source, dry_run=dry_run, start_now=start_now)

    @property
    def machine(self) -> Machine:
        return Machine(self.root, f"{self.fakes / 'bin'}:/usr/bin:/bin")

    def file(self, name: str, content: str = "") -> Path:
        """Write what a command is to find."""
        (self.fakes / name).write_text(content)
        return self.fakes / name

    def finds(self, **severities: str) -> None:
        """Say what the self-test is to find."""
        found = [
            {"name": name, "severity": mark, "found": "so it is", "advice": ""} for name, mark in severities.items()
        ]
        self.file("selftest.json", json.dumps(found))

    def has(self, name: str) -> bool:
        return (self.fakes / name).exists()

    def commands(self) -> list[str]:
        """Return what was run since this was asked last."""
        journal = self.fakes / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        journal.unlink(missing_ok=True)
        return lines

    def changes(self) -> list[str]:
        """The same, without what only looks."""
        return [line for line in self.commands() if not line.startswith(QUESTIONS)]

    def current(self) -> str:
        return str((self.root / "opt/voice-appliance/current").readlink())

    def edition(self, text: str) -> None:
        """Make the source another one, as a new version would be."""
        (self.source / "appliance" / "edition").write_text(text)

    def fingerprint(self) -> dict[str, str]:
        """Return what is in every file of the machine, but the log and the lock."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_file() and not name.startswith(("var/log/", "run/")):
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def build(folder: Path, project: Path) -> FakeMachine:
    """Make a fresh machine, and a source of its own."""
    root, fakes, source = folder / "root", folder / "fakes", folder / "source"
    for place in (root / "etc", root / "run/systemd/system", fakes / "bin", source / "appliance"):
        place.mkdir(parents=True)
    (root / "etc/os-release").write_text(OS_RELEASE)
    for name in ("systemd", "config", "docs"):
        shutil.copytree(project / name, source / name)
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        (source / name).symlink_to(project / name)
    for name, what in _COMMANDS.items():
        where = fakes if name in {"python", "appliance"} else fakes / "bin"
        note = f'FAKES={fakes} ROOT={root}\nprintf "%s\\n" "{name} $*" >>"$FAKES/journal"'
        (where / name).write_text(f"#!/bin/sh\n{note}\n{what}\n")
        (where / name).chmod(0o755)
    made = FakeMachine(root, fakes, source)
    made.file("packages", "ca-certificates installed\npython3 installed\n")
    made.finds(microphone="ok", token="ok")
    return made


def words(text: str) -> str:
    """Return a text without its layout."""
    return " ".join(text.split())
