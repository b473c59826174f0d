"""ALSA's cards: finding one, what it can do, and who holds it."""
