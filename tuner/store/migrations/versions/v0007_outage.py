"""Why a study is paused: what is away or full, when it is that."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("rectuner_studies", sa.Column("outage", sa.String(32), nullable=True))


def downgrade() -> None:
    op.drop_column("rectuner_studies", "outage")
