"""The Live link: one connection to the Gemini Live API through google-genai, and what keeps it."""
