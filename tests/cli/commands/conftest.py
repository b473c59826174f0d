"""Fixtures of the commands' tests."""

from tests.cli.commands.servers import _front, served
from tests.virtual_card.fixture import _turn, plug_in

__all__ = ["_front", "_turn", "plug_in", "served"]
