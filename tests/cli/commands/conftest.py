"""Fixtures of the commands' tests."""

from tests.cli.commands.servers import _front, served
from tests.support.virtual_card import _turn, plug_in

__all__ = ["_front", "_turn", "plug_in", "served"]
