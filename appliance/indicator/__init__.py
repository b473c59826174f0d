"""The lights: the pattern of each state, and adapters that show it."""
