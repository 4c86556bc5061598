"""Who a message is from, provably: signatures and their checks. No sockets, no files, no clock of its own."""
