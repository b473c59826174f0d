"""Tokens used, what they cost, and the caps on both."""
