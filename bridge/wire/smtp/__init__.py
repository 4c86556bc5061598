"""SMTP as bytes and tables, both directions."""
