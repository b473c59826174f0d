"""The daemon as systemd sees it."""
