"""IMAP over the mailbox store: sessions around `wire.imap.flow`, commands by family, news for clients in IDLE."""
