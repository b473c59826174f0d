"""The commands on docs/server.md."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/server.md"


def blocks() -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def installing() -> str:
    (block,) = (block for block in blocks() if "systemctl enable --now appliance-provisiond" in block)
    return block
