"""The Live API's contract: messages, set-up, models, tokens and what they lock."""
