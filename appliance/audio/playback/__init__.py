"""From reply audio to the periods that the card plays."""
