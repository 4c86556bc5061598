"""Floor 4: everything that takes a message to where a recipient is."""
