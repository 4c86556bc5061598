"""Floor 2: the only floor that opens files or databases."""
