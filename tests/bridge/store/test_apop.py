"""Secrets for APOP (I50, sec-A10, sec-A18)."""
import hashlib

import pytest
import sqlalchemy as sa

from bridge.config.accounts import Accounts as Settings
from bridge.serve.pop3.apop import verifier
from bridge.store.accounts import Accounts
from bridge.store.apop import ApopSecrets, SecretError, secret
from bridge.store.engine import Database
from bridge.store.failpoints import Failpoint
from bridge.store.migrate import Schema, migrate
from bridge.store.tables import audit, core

POINT = Failpoint("testapop.commit", "tests of APOP secrets")


@pytest.fixture
def parts(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/core.db", point=POINT, synchronous="OFF")
    migrate(database, Schema("core", core))
    accounts = Accounts(database, Settings(hash_memory=64, hash_rounds=1), tmp_path, domains=("example.org",))
    accounts.add("ana", "correct horse battery")
    accounts.add("eva", "correct horse battery")
    yield database, accounts, ApopSecrets(database, accounts)
    database.close()


def test_off_until_set_and_off_again(parts):
    _, _, secrets = parts
    assert not secrets.any()
    assert secrets.find("ana") is None
    made = secrets.set("ana")
    assert len(made) == 20
    assert secrets.any()
    account, found = secrets.find("ana@example.org")
    assert (account.login, found) == ("ana@example.org", made)
    assert secrets.find("eva") is None
    assert secrets.set("ana") != made
    secrets.remove("ana")
    assert not secrets.any()
    with pytest.raises(SecretError):
        secrets.remove("ana")


def test_another_process_sees_it(parts):
    database, accounts, secrets = parts
    other = ApopSecrets(database, accounts)
    assert not other.any()
    secrets.set("ana", "a secret of mine")
    assert other.find("ana")[1] == "a secret of mine"


def test_it_goes_with_the_account_and_rests_with_it(parts):
    database, accounts, secrets = parts
    secrets.set("ana")
    accounts.change("ana", enabled=False)
    assert secrets.find("ana") is None
    accounts.delete("ana")
    with database.read() as connection:
        assert connection.execute(sa.select(secret)).all() == []


@pytest.mark.parametrize(
    "text", ["short", "x" * 201, "with\nline breaks", "ñandú ñandú ñandú", "correct horse battery"])
def test_no_weak_secret_and_never_the_login_password(parts, text):
    with pytest.raises(SecretError):
        parts[2].set("ana", text)
    with pytest.raises(SecretError):
        parts[2].set("nobody", "a good long secret")


def test_the_audit_knows_of_it_without_knowing_it(parts):
    database, _, secrets = parts
    made = secrets.set("ana", actor="root")
    with database.read() as connection:
        row = connection.execute(sa.select(audit).where(audit.c.action == "account.apop")).one()
    assert (row.actor, row.subject) == ("root", "ana@example.org")
    assert made not in str(tuple(row))


def test_a_login_with_it(parts):
    _, _, secrets = parts
    made = secrets.set("ana")
    verify = verifier(secrets)
    challenge = "<1896.697170952@example.org>"
    digest = hashlib.md5((challenge + made).encode()).hexdigest()
    assert verify("ana", f"{challenge} {digest}", "pop3", "").login == "ana@example.org"
    assert verify("ana", f"{challenge} {digest[:-1]}0x", "pop3", "") is None
    assert verify("eva", f"{challenge} {digest}", "pop3", "") is None
    assert verify("nobody", f"{challenge} {digest}", "pop3", "") is None
