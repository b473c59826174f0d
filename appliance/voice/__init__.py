"""Detection of speech on the device."""
