"""POP3 as bytes and tables: the dialogue (machine), the maildrop as one session sees it (drop), bodies (stuffing)."""
