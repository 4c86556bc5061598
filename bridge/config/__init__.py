"""Floor 0: the settings, described once and loaded from TOML."""
