"""Settings: their schema, their sources and their values in force."""
