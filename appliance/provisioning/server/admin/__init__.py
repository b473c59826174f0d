"""The operator's commands: they work on the database, whose permissions say who may use them."""
