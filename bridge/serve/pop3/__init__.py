"""POP3 over the mailbox store: sessions (session), logins with a digest (apop)."""
