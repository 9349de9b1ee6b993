"""How Alembic runs here: on the connection, and within the transaction, of ``tuner.store.schema.upgrade``."""

from __future__ import annotations

from alembic import context

from tuner.store.schema import VERSION_TABLE
from tuner.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
