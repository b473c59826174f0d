"""Checks of a machine, for `appliance doctor`, the installer and the self-test."""
