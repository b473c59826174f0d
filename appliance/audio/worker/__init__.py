"""The process that owns the sound cards, so that a hung PortAudio or driver can be killed."""
