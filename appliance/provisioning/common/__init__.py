"""The protocol between device and server, and the keys and signatures that both need."""
