"""Shared by tests of several packages: parts of the house with their far ends in memory, clients, servers, files."""
