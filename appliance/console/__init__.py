"""The command line's types, standard input and standard output."""
