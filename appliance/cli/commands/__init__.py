"""The subcommands of `appliance`."""
