"""From microphone blocks to the chunks that are sent."""
