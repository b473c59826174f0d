"""The daemon as a service: systemd, signals, the control socket, supervised devices."""
