"""From the microphone's blocks to the chunks that are sent."""
