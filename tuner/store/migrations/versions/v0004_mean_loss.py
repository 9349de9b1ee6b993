"""The mean loss per sample of each epoch, beside the sum of the batches' losses; older epochs have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = ("rectuner_epochs", "rectuner_stage_epochs")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("mean_loss", sa.Double(), nullable=True))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "mean_loss")
