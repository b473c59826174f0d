"""What an installer asks of the appliance on the command line, one module a command."""
