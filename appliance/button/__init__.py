"""The push-to-talk button."""
