"""How fast each installed loader reads an export on this machine, beside the plain reading of its files."""
