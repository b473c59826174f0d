"""The voice appliance: everything that runs on the device, the provisioning server and the simulator."""

__version__ = "0.1.0"
