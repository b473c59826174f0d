"""Command-line arguments, standard input and standard output."""
