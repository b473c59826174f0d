"""The simulated model: when it hears speech, and what it replies."""
