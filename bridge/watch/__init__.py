"""Floor 1: what is told about the work: log, journal, lag of the loop."""
