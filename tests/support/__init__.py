"""What tests of several packages share: parts of the house with their far ends in memory, clients, servers, files."""
