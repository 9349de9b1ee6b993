"""What searching needs: computing time, rungs of successive halving, confirmations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("rectuner_slots", sa.Column("seconds_run", sa.Double(), nullable=False, server_default="0"))
    op.add_column("rectuner_slots", sa.Column("paused_at", sa.Integer(), nullable=True))
    op.add_column("rectuner_slots", sa.Column("confirms", sa.Integer(), nullable=True))
    op.add_column("rectuner_slots", sa.Column("seed", sa.BigInteger(), nullable=True))
    op.create_table(
        "rectuner_rungs",
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["slot_id"], ["rectuner_slots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("slot_id", "rung"),
    )


def downgrade() -> None:
    op.drop_table("rectuner_rungs")
    for column in ("seed", "confirms", "paused_at", "seconds_run"):
        op.drop_column("rectuner_slots", column)
