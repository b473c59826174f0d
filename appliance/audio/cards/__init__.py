"""ALSA sound cards: their names, formats and availability."""
