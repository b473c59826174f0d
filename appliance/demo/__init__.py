"""One whole conversation on a recording: the real daemon, a Live service and a provisioning server on loopback."""
