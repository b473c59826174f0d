"""What a device tells its operator of itself when it enrols. Read from the machine; what is not there is left out."""

import hashlib
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from appliance.provisioning.protocol import DeviceFacts

_LONGEST: Final = 80


def device_facts(root: Path = Path("/")) -> DeviceFacts:
    """Return model, system and the digest of the serial number."""
    tree = root / "proc" / "device-tree"
    serial = _line(tree / "serial-number")
    try:
        return DeviceFacts(
            model=_line(tree / "model"),
            serial_sha256=hashlib.sha256(serial.encode()).hexdigest() if serial else None,
            os=_system(root / "etc" / "os-release"),
        )
    except ValidationError:
        return DeviceFacts()


def _line(file: Path) -> str | None:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.partition("\n")[0].strip("\x00 ")[:_LONGEST] or None


def _system(file: Path) -> str | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    entries = dict(line.partition("=")[::2] for line in lines)
    found = [entries.get(name, "").strip('"') for name in ("ID", "VERSION_ID")]
    return "-".join(part for part in found if part)[:_LONGEST] or None
