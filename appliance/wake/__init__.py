"""Wake-word detection on the device."""
