"""A whole conversation on a recording: the real daemon, with a Live service and a provisioning server on loopback."""
