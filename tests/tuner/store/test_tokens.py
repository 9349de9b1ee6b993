from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from tuner.errors import TokenExists, TokenNotFound
from tuner.store import Database, tokens
from tuner.store.tables import Login, utc_now
from tuner.store.tokens import Holder, Scope


def test_a_token_lets_in_until_it_is_revoked_and_its_logins_with_it(database: Database) -> None:
    secret = tokens.create_token(database, "ana", Scope.READ)
    holder = tokens.holder_of_token(database, secret)
    assert holder == Holder("ana", Scope.READ, 1)
    cookie = tokens.begin_login(database, holder)
    assert tokens.holder_of_login(database, cookie) == holder
    tokens.revoke_token(database, "ana")
    assert tokens.holder_of_token(database, secret) is None
    assert tokens.holder_of_login(database, cookie) is None
    with pytest.raises(TokenNotFound):
        tokens.revoke_token(database, "ana")


def test_neither_secret_is_in_the_database(database: Database) -> None:
    secret = tokens.create_token(database, "ana", Scope.WRITE)
    holder = tokens.holder_of_token(database, secret)
    assert holder is not None
    cookie = tokens.begin_login(database, holder)
    with database.session() as session:
        for table in ("rectuner_tokens", "rectuner_logins"):
            kept = str(session.execute(sa.text(f"SELECT * FROM {table}")).all())
            assert secret not in kept
            assert secret.removeprefix("rct_") not in kept
            assert cookie not in kept
            assert tokens.digest(cookie if table.endswith("logins") else secret) in kept
    # What is kept lets nobody in.
    assert tokens.holder_of_token(database, tokens.digest(secret)) is None
    assert tokens.holder_of_login(database, tokens.digest(cookie)) is None


def test_tokens_are_listed_with_their_last_use(database: Database) -> None:
    secret = tokens.create_token(database, "ana", Scope.WRITE)
    assert tokens.list_tokens(database)[0].used_at is None
    tokens.holder_of_token(database, secret)
    used = tokens.list_tokens(database)[0].used_at
    assert used is not None
    assert utc_now() - used < timedelta(minutes=1)


def test_a_name_is_used_once(database: Database) -> None:
    tokens.create_token(database, "ana", Scope.READ)
    tokens.revoke_token(database, "ana")
    with pytest.raises(TokenExists):
        tokens.create_token(database, "ana", Scope.READ)


def test_a_login_ends(database: Database) -> None:
    first, second = (tokens.begin_login(database, Holder("printed", Scope.WRITE, None)) for _ in range(2))
    with database.transaction() as session:
        session.execute(sa.update(Login).where(Login.digest == tokens.digest(first)).values(expires_at=utc_now()))
    assert tokens.holder_of_login(database, first) is None
    assert tokens.holder_of_login(database, second) is not None
    tokens.end_login(database, second)
    assert tokens.holder_of_login(database, second) is None


def test_whether_tokens_exist(database: Database) -> None:
    assert not tokens.tokens_exist(database)
    tokens.create_token(database, "ana", Scope.READ)
    assert tokens.tokens_exist(database, in_force=True)
    tokens.revoke_token(database, "ana")
    assert tokens.tokens_exist(database)
    assert not tokens.tokens_exist(database, in_force=True)
