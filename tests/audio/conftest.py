"""Fixtures of the audio tests."""

from tests.soundcard.fixture import plug_in

__all__ = ["plug_in"]
