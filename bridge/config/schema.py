"""All sections of the configuration in one place, in the order of the example file."""

from dataclasses import dataclass, field

from bridge.config.server import Database, Listen, Log, Paths, Server, Tls, Web


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration file says, defaults filled in. Objects receive their section, never this whole."""

    server: Server = field(default_factory=Server)
    paths: Paths = field(default_factory=Paths)
    listen: Listen = field(default_factory=Listen)
    tls: Tls = field(default_factory=Tls)
    database: Database = field(default_factory=Database)
    web: Web = field(default_factory=Web)
    log: Log = field(default_factory=Log)
