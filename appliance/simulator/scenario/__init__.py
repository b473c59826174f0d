"""Scenarios: faults of connections and turns, in steps, from a file or at random."""
