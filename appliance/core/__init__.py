"""The conversation as a pure state machine: no asyncio, threads, clock, numpy or logging in here."""
