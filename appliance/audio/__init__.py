"""The audio path: capture, uplink, playback, and the microphone and speaker adapters."""
