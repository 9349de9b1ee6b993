"""How much the weights take that are kept of a trial."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("rectuner_slots", sa.Column("weights_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("rectuner_slots", "weights_bytes")
