"""A room around the appliance: its speaker, its microphone, and people."""
