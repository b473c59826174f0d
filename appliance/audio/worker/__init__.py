"""The process that owns the sound cards, so that whatever PortAudio or a driver does can be killed."""
