"""Tools that the model may call: a typed allow-list."""
