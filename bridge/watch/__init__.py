"""Floor 1: what is told about the work: log, metrics, health, trace."""
