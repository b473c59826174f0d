"""Earcons and recorded phrases."""
