"""GPIO adapters: the LEDs and the button."""
