"""Fixtures of the doctor's tests."""

from tests.virtual_card.fixture import _turn, plug_in

__all__ = ["_turn", "plug_in"]
