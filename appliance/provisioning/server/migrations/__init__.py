"""Brings a database to the newest form of the tables, and back."""
