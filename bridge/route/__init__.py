"""Floor 3: what an address means."""
