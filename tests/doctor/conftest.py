"""Fixtures of the doctor's tests."""

from tests.support.virtual_card import _turn, plug_in

__all__ = ["_turn", "plug_in"]
