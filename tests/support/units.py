"""systemd's files in this project."""

from collections import defaultdict
from pathlib import Path

SYSTEMD = Path(__file__).resolve().parents[2] / "systemd"
UNIT = SYSTEMD / "appliance.service"
SERVER = SYSTEMD / "appliance-provisiond.service"


def service(unit: Path = UNIT) -> dict[str, list[str]]:
    """Return the values of every key of a unit; keys may come more than once, which configparser refuses."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found
