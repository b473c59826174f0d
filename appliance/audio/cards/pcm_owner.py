"""Which program has a card's PCM open, as far as the kernel tells."""

import re
from pathlib import Path
from typing import Final

from appliance.audio.cards.devices import Card, Direction

_OWNER: Final = re.compile(r"^owner_pid\s*:\s*(\d+)", re.MULTILINE)
_KINDS: Final = {Direction.INPUT: "c", Direction.OUTPUT: "p"}


def holder(card: Card, direction: Direction, root: Path = Path("/")) -> str | None:
    """Return the name and the number of the process that has one of the card's PCMs open; None where none is seen."""
    for device in card.devices(direction):
        folder = root / f"proc/asound/card{card.index}/pcm{device}{_KINDS[direction]}"
        for status in sorted(folder.glob("sub*/status")):
            found = _OWNER.search(_text(status))
            if found:
                name = _text(root / f"proc/{found[1]}/comm").strip()
                return f"{name} ({found[1]})" if name else f"process {found[1]}"
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
