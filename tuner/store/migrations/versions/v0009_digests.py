"""What files should hold, and which artifact folder is the database's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("rectuner_checkpoints", sa.Column("sha256", sa.String(length=64), nullable=True))
    op.create_table(
        "rectuner_trial_files",
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["slot_id"], ["rectuner_slots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("slot_id", "name"),
    )
    op.create_table(
        "rectuner_facts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("rectuner_facts")
    op.drop_table("rectuner_trial_files")
    op.drop_column("rectuner_checkpoints", "sha256")
