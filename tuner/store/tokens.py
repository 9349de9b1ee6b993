"""Tokens and logins. Of a secret only its SHA-256 is kept: the secrets are random, so that nothing slower is needed.

A secret is looked up by its digest. How long that takes may depend on the digest, which tells nothing about the secret.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update

from tuner.errors import TokenExists, TokenNotFound
from tuner.store.database import Database
from tuner.store.states import Scope
from tuner.store.tables import Login, Token, utc_now

# Marks the text for people, and for programs that search for secrets in the wrong places.
_PREFIX = "rct_"
LOGIN_LIFE = timedelta(days=14)
# The last use is written at most so often.
_USE_PRECISION = timedelta(minutes=1)


@dataclass(frozen=True)
class Holder:
    """Who was let in, and to do what."""

    name: str
    scope: Scope
    token_id: int | None

    @property
    def may_write(self) -> bool:
        return self.scope == Scope.WRITE


@dataclass(frozen=True)
class TokenSummary:
    """A token as it is listed; its text was shown once, when it was created."""

    name: str
    scope: Scope
    created_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_token(database: Database, name: str, scope: Scope) -> str:
    """A new token's text, which nobody can be shown again.

    Raises:
        TokenExists: the name is taken, perhaps by a revoked token.
    """
    secret = _PREFIX + secrets.token_urlsafe(32)
    with database.transaction() as session:
        if session.scalar(select(Token.id).where(Token.name == name)) is not None:
            raise TokenExists(f"There is a token {name!r} already, perhaps a revoked one. Choose another name.")
        session.add(Token(name=name, digest=digest(secret), scope=scope.value))
    return secret


def list_tokens(database: Database) -> list[TokenSummary]:
    """All tokens, revoked ones too, newest first."""
    with database.session() as session:
        rows = session.scalars(select(Token).order_by(Token.id.desc())).all()
    return [TokenSummary(row.name, Scope(row.scope), row.created_at, row.used_at, row.revoked_at) for row in rows]


def revoke_token(database: Database, name: str) -> None:
    """Let nobody in with this token any more, nor with a login that came from it.

    Raises:
        TokenNotFound: there is none of that name that is in force.
    """
    with database.transaction() as session:
        token = session.scalar(select(Token).where(Token.name == name, Token.revoked_at.is_(None)))
        if token is None:
            raise TokenNotFound(f"There is no token {name!r} in force. tuner token ls lists them.")
        token.revoked_at = utc_now()
        session.execute(delete(Login).where(Login.token_id == token.id))


def delete_token(database: Database, name: str) -> None:
    """Remove a token as if it had never been."""
    with database.transaction() as session:
        session.execute(delete(Token).where(Token.name == name))


def tokens_exist(database: Database, *, in_force: bool = False) -> bool:
    """Whether a token was ever created, or is in force."""
    query = select(Token.id).limit(1)
    if in_force:
        query = query.where(Token.revoked_at.is_(None))
    with database.session() as session:
        return session.scalar(query) is not None


def holder_of_token(database: Database, secret: str) -> Holder | None:
    """Who has this token; None when it is unknown or revoked. Notes the use."""
    with database.session() as session:
        row = session.scalar(select(Token).where(Token.digest == digest(secret), Token.revoked_at.is_(None)))
    if row is None:
        return None
    now = utc_now()
    if row.used_at is None or now - row.used_at > _USE_PRECISION:
        with database.transaction() as session:
            session.execute(update(Token).where(Token.id == row.id).values(used_at=now))
    return Holder(row.name, Scope(row.scope), row.id)


def begin_login(database: Database, holder: Holder) -> str:
    """A secret for a browser's cookie; logins that have expired are removed."""
    secret, now = secrets.token_urlsafe(32), utc_now()
    with database.transaction() as session:
        session.execute(delete(Login).where(Login.expires_at <= now))
        session.add(
            Login(
                digest=digest(secret),
                token_id=holder.token_id,
                scope=holder.scope.value,
                expires_at=now + LOGIN_LIFE,
            )
        )
    return secret


def holder_of_login(database: Database, secret: str) -> Holder | None:
    """Who logged in with this cookie; None when the login has ended or its token was revoked."""
    query = (
        select(Login, Token.name)
        .outerjoin(Token, Token.id == Login.token_id)
        .where(Login.digest == digest(secret), Login.expires_at > utc_now())
        .where(or_(Login.token_id.is_(None), Token.revoked_at.is_(None)))
    )
    with database.session() as session:
        found = session.execute(query).one_or_none()
    if found is None:
        return None
    login, name = found
    return Holder(name or "the address that the service printed", Scope(login.scope), login.token_id)


def end_login(database: Database, secret: str) -> None:
    """Forget a login."""
    with database.transaction() as session:
        session.execute(delete(Login).where(Login.digest == digest(secret)))
