"""Floor 6: the doors that accept mail: SMTP, submission, LMTP, fetched accounts."""
