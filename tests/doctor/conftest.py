"""Fixtures of the doctor's tests."""

from tests.soundcard.fixture import _turn, plug_in

__all__ = ["_turn", "plug_in"]
