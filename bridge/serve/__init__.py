"""Floor 6: the services that people read their mail with: IMAP and POP3."""
