"""Floor 1: protocols as bytes and tables. No sockets, no files, no clock."""
