"""Whether whoever uses a page may act on it; the service says so for every request."""

from __future__ import annotations

from contextvars import ContextVar

from tuner.errors import TunerError

may_write: ContextVar[bool] = ContextVar("may_write", default=True)


def require_write() -> None:
    """Raise TunerError when this request came with a login that may only look."""
    if not may_write.get():
        raise TunerError("This login may only look. Log in with a token of scope write at /login.")
