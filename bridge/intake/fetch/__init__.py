"""Collecting external accounts: fetchmail's trade, with a ledger."""
