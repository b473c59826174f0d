"""Fixtures of the audio tests."""

from tests.support.virtual_card import _turn, plug_in

__all__ = ["_turn", "plug_in"]
