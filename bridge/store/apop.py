"""Secrets for APOP, one per account that asked for it (I50).

The protocol needs them readable, so they are secrets of their own, never a login password, and there is none until
somebody sets it. A secret that is made here has 100 random bits.
Promises: each change is one transaction with its audit row, which never has the secret; a secret goes with its account;
`any` and `find` cost microseconds while nothing changes.
Fails by: SecretError, a sentence for whoever gave the command; StoreError.
"""

import base64
import os
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, ForeignKey, String, Table

from bridge.model.account import Account
from bridge.model.clock import SYSTEM, Clock
from bridge.model.language import tr
from bridge.store.accounts import Accounts
from bridge.store.engine import Database
from bridge.store.tables import bump, core, note

SHORTEST, LONGEST = 12, 200

secret = Table(
    "apop",
    core,
    Column("account_id", ForeignKey("account.id", ondelete="CASCADE"), primary_key=True),
    Column("secret", String(LONGEST), nullable=False),
    Column("set_at", Float, nullable=False),
)


class SecretError(Exception):
    """What was asked can't be done; the text says why and what would do."""


class ApopSecrets:
    """The secrets of one core database; see `serve.pop3.apop.Secrets`."""

    def __init__(
        self, database: Database, accounts: Accounts, *, clock: Clock = SYSTEM,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._database, self._accounts, self._clock, self._random = database, accounts, clock, random
        self._version: object = None
        self._known: dict[int, str] = {}

    def any(self) -> bool:
        """Whether anybody has one: only then the greeting offers APOP."""
        return bool(self._all())

    def count(self) -> int:
        """How many accounts have one."""
        return len(self._all())

    def find(self, login: str) -> tuple[Account, str] | None:
        """The account and its secret, where it has one and is enabled."""
        account = self._accounts.by_login(login) if login else None
        if account is None or not account.enabled or account.id not in self._all():
            return None
        return account, self._known[account.id]

    def set(self, login: str, text: str = "", *, actor: str = "system") -> str:
        """Give an account its secret: `text`, or a new one. The secret, to be shown once."""
        account = self._get(login)
        chosen = text or base64.b32encode(self._random(13)).decode().rstrip("=").lower()[:20]
        if not SHORTEST <= len(chosen) <= LONGEST or not chosen.isascii() or not chosen.isprintable():
            raise SecretError(tr(
                f"a secret for APOP has {SHORTEST} to {LONGEST} printable ASCII characters",
                f"un secreto para APOP tiene de {SHORTEST} a {LONGEST} caracteres ASCII imprimibles",
            ))
        if self._accounts.verify(login, chosen, "apop", "") is not None:
            raise SecretError(tr(
                "this is the login password; a secret for APOP is kept readable, so take another one",
                "es la contraseña de la cuenta; un secreto para APOP se guarda legible, así que elija otro",
            ))
        row = {"account_id": account.id, "secret": chosen, "set_at": self._clock.now()}

        def unit(connection: Connection) -> None:
            connection.execute(sa.delete(secret).where(secret.c.account_id == account.id))
            connection.execute(sa.insert(secret), row)
            self._note(connection, account, actor, "set")

        self._database.write_now(unit)
        return chosen

    def remove(self, login: str, *, actor: str = "system") -> None:
        """Take it away; SecretError if there was none."""
        account = self._get(login)

        def unit(connection: Connection) -> None:
            if not connection.execute(sa.delete(secret).where(secret.c.account_id == account.id)).rowcount:
                who = account.login
                raise SecretError(tr(f"{who} has no secret for APOP", f"{who} no tiene secreto para APOP"))
            self._note(connection, account, actor, "removed")

        self._database.write_now(unit)

    def _note(self, connection: Connection, account: Account, actor: str, what: str) -> None:
        bump(connection, "apop")
        note(connection, self._clock.now(), actor, "account.apop", account.login, what)

    def _get(self, login: str) -> Account:
        account = self._accounts.by_login(login)
        if account is None:
            raise SecretError(tr(f"there is no account {login}", f"no existe la cuenta {login}"))
        return account

    def _all(self) -> dict[int, str]:
        version = self._database.version()
        if version != self._version:
            with self._database.read() as connection:
                rows = connection.execute(sa.select(secret.c.account_id, secret.c.secret)).all()
            self._known = {row.account_id: row.secret for row in rows}
            self._version = version
        return self._known
