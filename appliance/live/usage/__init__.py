"""Tokens, their cost, and spending caps."""
