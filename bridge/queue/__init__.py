"""Floor 5: the one door in, and what is due when."""
