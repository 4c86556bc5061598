"""The arguments of commands, by family: a scanner in, one frozen value out."""
