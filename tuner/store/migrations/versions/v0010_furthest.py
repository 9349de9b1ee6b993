"""How far a trial has got: losses of workers count from there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("rectuner_slots", sa.Column("furthest", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("rectuner_slots", "furthest")
