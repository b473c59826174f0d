"""One conversation's session over the connections that carry it."""
