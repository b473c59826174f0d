"""How a connection to the Live service is opened, resumed and rotated."""
