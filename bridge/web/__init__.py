"""Floor 7: pages of the mail server."""
