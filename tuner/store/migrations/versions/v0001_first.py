"""The first version of our tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "rectuner_studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("specification", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("optuna_name", sa.String(length=512), nullable=False),
        sa.Column("optuna_id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.String(length=64), nullable=False),
        sa.Column("direction", sa.String(length=16), nullable=False),
        sa.Column("sampler", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("pruner", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("max_trials", sa.Integer(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ends_as", sa.String(length=16), nullable=True),
        sa.Column("baseline", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("baseline_lease", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("running_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seconds_before", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rectuner_studies_state"), "rectuner_studies", ["state"], unique=False)
    op.create_table(
        "rectuner_workers",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_expires", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_rectuner_workers_state"), "rectuner_workers", ["state"], unique=False)
    op.create_table(
        "rectuner_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=True),
        sa.Column("trial", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["rectuner_studies.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_rectuner_events_study", "rectuner_events", ["study_id", "id"], unique=False)
    op.create_table(
        "rectuner_slots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("optuna_number", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(length=32), nullable=True),
        sa.Column("lease_expires", sa.Double(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("group_key", sa.String(length=64), nullable=True),
        sa.Column("stage_key", sa.String(length=64), nullable=True),
        sa.Column("stage_epochs", sa.Integer(), nullable=True),
        sa.Column("epochs_asked", sa.Integer(), nullable=False),
        sa.Column("epochs_run", sa.Integer(), nullable=False),
        sa.Column("epochs_reused", sa.Integer(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["study_id"], ["rectuner_studies.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["worker_id"], ["rectuner_workers.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("study_id", "optuna_number"),
        sa.UniqueConstraint("study_id", "ordinal"),
    )
    op.create_index(
        "ix_rectuner_slots_claim",
        "rectuner_slots",
        ["study_id", "state", "priority", "ordinal"],
        unique=False,
    )
    op.create_index("ix_rectuner_slots_ended", "rectuner_slots", ["study_id", "ended_at"], unique=False)
    op.create_index("ix_rectuner_slots_lease", "rectuner_slots", ["state", "lease_expires"], unique=False)
    op.create_index("ix_rectuner_slots_stage", "rectuner_slots", ["stage_key"], unique=False)
    op.create_table(
        "rectuner_stages",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("dataset", sa.String(length=255), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=True),
        sa.Column("lease_expires", sa.Double(), nullable=True),
        sa.Column("target_epoch", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["holder"], ["rectuner_workers.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "rectuner_checkpoints",
        sa.Column("stage_key", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["stage_key"], ["rectuner_stages.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("stage_key", "epoch"),
    )
    op.create_index("ix_rectuner_checkpoints_used", "rectuner_checkpoints", ["used_at"], unique=False)
    op.create_table(
        "rectuner_epochs",
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("valid_score", sa.Double(), nullable=True),
        sa.Column("valid_result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["slot_id"], ["rectuner_slots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("slot_id", "stage", "epoch"),
    )
    op.create_table(
        "rectuner_progress",
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(length=32), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("fraction", sa.Double(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("valid_score", sa.Double(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["slot_id"], ["rectuner_slots.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("slot_id"),
    )
    op.create_table(
        "rectuner_stage_epochs",
        sa.Column("stage_key", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("times_run", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["stage_key"], ["rectuner_stages.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("stage_key", "epoch"),
    )


def downgrade() -> None:

    op.drop_table("rectuner_stage_epochs")
    op.drop_table("rectuner_progress")
    op.drop_table("rectuner_epochs")
    op.drop_index("ix_rectuner_checkpoints_used", table_name="rectuner_checkpoints")
    op.drop_table("rectuner_checkpoints")
    op.drop_table("rectuner_stages")
    op.drop_index("ix_rectuner_slots_stage", table_name="rectuner_slots")
    op.drop_index("ix_rectuner_slots_lease", table_name="rectuner_slots")
    op.drop_index("ix_rectuner_slots_ended", table_name="rectuner_slots")
    op.drop_index("ix_rectuner_slots_claim", table_name="rectuner_slots")
    op.drop_table("rectuner_slots")
    op.drop_index("ix_rectuner_events_study", table_name="rectuner_events")
    op.drop_table("rectuner_events")
    op.drop_index(op.f("ix_rectuner_workers_state"), table_name="rectuner_workers")
    op.drop_table("rectuner_workers")
    op.drop_index(op.f("ix_rectuner_studies_state"), table_name="rectuner_studies")
    op.drop_table("rectuner_studies")
