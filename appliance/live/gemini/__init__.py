"""The adapter between the Live ports and google-genai."""
