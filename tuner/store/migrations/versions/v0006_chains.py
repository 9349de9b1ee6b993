"""Shared stages that start from other shared stages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("rectuner_stages", sa.Column("before_key", sa.String(length=64), nullable=True))
    op.add_column("rectuner_stages", sa.Column("before_epoch", sa.Integer(), nullable=True))
    op.create_index("ix_rectuner_stages_before_key", "rectuner_stages", ["before_key"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_rectuner_stages_before_key", table_name="rectuner_stages")
    for column in ("before_epoch", "before_key"):
        op.drop_column("rectuner_stages", column)
