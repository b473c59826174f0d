"""The lights: what each state looks like, and the adapters that show it."""
