"""All sections of the configuration in one place, in the order of the example file."""

from dataclasses import dataclass, field

from bridge.config.accounts import Accounts
from bridge.config.clients import Clients
from bridge.config.delivery import Delivery
from bridge.config.fetch import Fetch
from bridge.config.imap import Imap
from bridge.config.lists import Lists
from bridge.config.login import Login
from bridge.config.mail import Mail
from bridge.config.outbound import Outbound
from bridge.config.pop3 import Pop3
from bridge.config.queue import Queue
from bridge.config.server import Database, Listen, Log, Paths, Server, Tls, Web
from bridge.config.smtp import Smtp
from bridge.config.store import Store


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration file says, defaults filled in. Objects receive their section, never this whole."""

    server: Server = field(default_factory=Server)
    mail: Mail = field(default_factory=Mail)
    accounts: Accounts = field(default_factory=Accounts)
    paths: Paths = field(default_factory=Paths)
    listen: Listen = field(default_factory=Listen)
    tls: Tls = field(default_factory=Tls)
    smtp: Smtp = field(default_factory=Smtp)
    queue: Queue = field(default_factory=Queue)
    store: Store = field(default_factory=Store)
    login: Login = field(default_factory=Login)
    delivery: Delivery = field(default_factory=Delivery)
    outbound: Outbound = field(default_factory=Outbound)
    imap: Imap = field(default_factory=Imap)
    pop3: Pop3 = field(default_factory=Pop3)
    fetch: Fetch = field(default_factory=Fetch)
    lists: Lists = field(default_factory=Lists)
    web: Web = field(default_factory=Web)
    clients: Clients = field(default_factory=Clients)
    database: Database = field(default_factory=Database)
    log: Log = field(default_factory=Log)
