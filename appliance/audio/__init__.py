"""The audio path: capture, pre-roll, uplink, playback, and the adapters that are a microphone or a speaker."""
