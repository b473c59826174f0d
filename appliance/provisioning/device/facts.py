"""What a device tells its operator of itself when it enrols. Read from the machine; what is not there is left out."""

import hashlib
from pathlib import Path
from typing import Final

from appliance.provisioning.common.protocol import DeviceFacts

_LONGEST: Final = 80


def device_facts(root: Path = Path("/")) -> DeviceFacts:
    """Return model, system and the digest of the serial number."""
    tree = root / "proc" / "device-tree"
    serial = _line(tree / "serial-number")
    return DeviceFacts(
        model=_line(tree / "model"),
        serial_sha256=hashlib.sha256(serial.encode()).hexdigest() if serial else None,
        os=_system(root / "etc" / "os-release"),
    )


def _line(file: Path) -> str | None:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return _short(text.partition("\n")[0])


def _system(file: Path) -> str | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    entries = dict(line.partition("=")[::2] for line in lines)
    found = [entries.get(name, "").strip("\"'") for name in ("ID", "VERSION_ID")]
    return _short("-".join(part for part in found if part))


def _short(text: str) -> str | None:
    """Return what of ``text`` can be told; device trees end their words with a zero byte."""
    return "".join(character for character in text if character.isprintable()).strip()[:_LONGEST] or None
