"""Adapters for the pins: the light and the button."""
