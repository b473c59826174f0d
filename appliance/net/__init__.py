"""Name resolution, Happy Eyeballs and TLS."""
