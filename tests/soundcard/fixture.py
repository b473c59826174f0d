"""The fixture ``plug_in``: a virtual sound card for this process and the children that it starts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.soundcard.build import BuildError, plugin
from tests.soundcard.card import Hardware, VirtualCard

PlugIn = Callable[..., VirtualCard]


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlugIn]:
    """Return what makes the card: ``plug_in(microphone=Hardware(…), speaker=Hardware(…))``."""
    try:
        plugin()
    except BuildError as error:
        pytest.skip(f"no virtual sound card: {error}")
    cards: list[VirtualCard] = []

    def make(**jacks: Hardware) -> VirtualCard:
        cards.append(VirtualCard(tmp_path, **jacks))
        for name, value in cards[0].environment.items():
            monkeypatch.setenv(name, value)
        return cards[0]

    yield make
    for card in cards:
        card.close()
