"""The provisioning server: holds the API key, hands out Live tokens; never installed on a device."""
