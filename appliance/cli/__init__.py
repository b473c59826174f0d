"""The command `appliance`."""
