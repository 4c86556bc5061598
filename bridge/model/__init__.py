"""Floor 0: frozen values that every room shares. Nothing here does I/O."""
