"""The echo of replies at the microphone."""
