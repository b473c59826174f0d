"""The simulator's WebSocket."""
