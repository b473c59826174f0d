"""Short-lived Live tokens: the wire protocol, and the device half."""
