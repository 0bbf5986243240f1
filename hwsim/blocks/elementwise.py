"""Units that work on each code on its own: table, add, multiply."""
