"""A room in which a microphone hears a loudspeaker and people."""
