"""A Live service on loopback, wire-exact, with a token endpoint: for the demo, tests and anyone without a key."""
