"""From the reply's audio to the periods that the card takes."""
