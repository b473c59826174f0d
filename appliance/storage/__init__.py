"""Files written atomically, JSON state, and a directory for secrets."""
