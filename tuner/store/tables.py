"""Our tables. Trials' parameters, values, intermediate values and attributes are in Optuna's, beside them.

A **slot** is the claim on one trial: it exists before the trial does, says who runs it, and carries the
lease. ``slots.optuna_number`` is all that the two sides know of each other.

Times of day are UTC; leases are seconds of the Unix clock (the database's, see ``Database.now``), so that
they can be computed with.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tuner.store.states import Origin, StudyState, TrialState, WorkerState


def utc_now() -> datetime:
    """The present, aware of its zone."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes on both databases; SQLite drops the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class StateText(TypeDecorator[StrEnum]):
    """A state by its name, as the members of one enumeration."""

    impl = String(16)
    cache_ok = True

    def __init__(self, states: type[StrEnum]) -> None:
        super().__init__()
        self.states = states

    def process_bind_param(self, value: StrEnum | None, _dialect: Dialect) -> str | None:
        return None if value is None else self.states(value).value

    def process_result_value(self, value: str | None, _dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.states(value)


class Base(DeclarativeBase):
    """Types that all tables share."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        dict[str, Any]: JSON(none_as_null=True),
        float: Double(),
        StudyState: StateText(StudyState),
        TrialState: StateText(TrialState),
        WorkerState: StateText(WorkerState),
        Origin: StateText(Origin),
    }


class Study(Base):
    """One study: what was asked for, and how it is going.

    Attributes:
        specification: :class:`tuner.specification.StudySpecification` as JSON, as it was given.
        optuna_name: name of the Optuna study; ``optuna_id`` its id when it was created, for joins.
        metric, direction: what is optimized ("ndcg@10", "maximize" or "minimize").
        sampler, pruner: ``{"name", "options"}`` in force, defaults spelled out.
        max_trials: the trial budget in force.
        workers: trials at once, None for no limit.
        reason: why the study is in its state, for people.
        outage: of a paused study: what is away or full ("artifact folder"); it goes on by itself when that is back.
            None: a person, or its failures, paused it.
        ends_as: the state that a stopping study takes when its last trial has ended.
        running_since, seconds_before: wall-clock spent running = seconds_before + (now - running_since).
        baseline: ``{"valid": {...}, "test": {...}}`` of the baseline model, None until it is computed.
    """

    __tablename__ = "rectuner_studies"
    __table_args__ = ({"sqlite_autoincrement": True},)  # ids name folders: never use one again

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    specification: Mapped[dict[str, Any]]
    optuna_name: Mapped[str] = mapped_column(String(512))
    optuna_id: Mapped[int]
    metric: Mapped[str] = mapped_column(String(64))
    direction: Mapped[str] = mapped_column(String(16))
    sampler: Mapped[dict[str, Any]]
    pruner: Mapped[dict[str, Any]]
    max_trials: Mapped[int]
    workers: Mapped[int | None]
    state: Mapped[StudyState] = mapped_column(index=True, default=StudyState.QUEUED)
    reason: Mapped[str | None] = mapped_column(Text)
    outage: Mapped[str | None] = mapped_column(String(32))
    ends_as: Mapped[StudyState | None]
    baseline: Mapped[dict[str, Any] | None]
    baseline_lease: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    running_since: Mapped[datetime | None]
    seconds_before: Mapped[float] = mapped_column(default=0.0)


class Worker(Base):
    """One worker process. ``id`` is random text, so that a worker needs nobody to name it."""

    __tablename__ = "rectuner_workers"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    state: Mapped[WorkerState] = mapped_column(index=True, default=WorkerState.IDLE)
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    heartbeat_at: Mapped[datetime] = mapped_column(default=utc_now)
    lease_expires: Mapped[float]
    ended_at: Mapped[datetime | None]


class Slot(Base):
    """The claim on one trial of a study.

    Attributes:
        ordinal: position in the study's order of work; not the trial's number, which Optuna gives when the
            trial starts.
        origin, parameters: a grid's or an enqueued combination in Optuna's representation; None: the sampler
            chooses when the trial starts, and Optuna holds the choice.
        priority: lower goes first (see ``claims.PRIORITY_BEGUN``).
        attempt: counts the claims; together with ``worker_id`` it tells whether a worker still owns the slot.
        losses, failures: how often a worker died on it, and how often it raised an error that is tried again.
        furthest: epochs of its shared stages and of its own that an attempt has reached; ``losses`` count from there.
        not_before: Unix seconds before which nobody should claim it.
        group_key: slots of one study that agree on it share their pretraining.
        stage_key, stage_epochs: the last shared stage that the trial needs, as far as known, and to which epoch;
            what that starts from, its own row says.
        epochs_asked, epochs_run, epochs_reused: of shared stages: what the trial needed, what was computed on
            its behalf, what was there already.
        seconds_run: computing time of all epochs that were run for it, shared ones and repeated ones too.
        paused_at: the epoch at which a trial waits for its promotion (see ``Rung``); it can't be claimed then.
        confirms, seed: of a confirmation: the trial whose parameters are run again, and with which training seed.
        weights_bytes: size of the weights that are kept of the ended trial, None where none are.
        error: ``{"kind", "type", "message", "traceback"}`` of the last failure, see ``engine.work.failures``.
    """

    __tablename__ = "rectuner_slots"
    __table_args__ = (
        UniqueConstraint("study_id", "ordinal"),
        UniqueConstraint("study_id", "optuna_number"),
        Index("ix_rectuner_slots_claim", "study_id", "state", "priority", "ordinal"),
        Index("ix_rectuner_slots_lease", "state", "lease_expires"),
        Index("ix_rectuner_slots_ended", "study_id", "ended_at"),
        Index("ix_rectuner_slots_stage", "stage_key"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("rectuner_studies.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    origin: Mapped[Origin]
    parameters: Mapped[dict[str, Any] | None]
    priority: Mapped[int] = mapped_column(default=0)
    state: Mapped[TrialState] = mapped_column(default=TrialState.WAITING)
    optuna_number: Mapped[int | None]
    attempt: Mapped[int] = mapped_column(default=0)
    losses: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    furthest: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[str | None] = mapped_column(ForeignKey("rectuner_workers.id", ondelete="SET NULL"))
    lease_expires: Mapped[float | None]
    not_before: Mapped[float] = mapped_column(default=0.0)
    group_key: Mapped[str | None] = mapped_column(String(64))
    stage_key: Mapped[str | None] = mapped_column(String(64))
    stage_epochs: Mapped[int | None]
    epochs_asked: Mapped[int] = mapped_column(default=0)
    epochs_run: Mapped[int] = mapped_column(default=0)
    epochs_reused: Mapped[int] = mapped_column(default=0)
    seconds_run: Mapped[float] = mapped_column(default=0.0)
    paused_at: Mapped[int | None]
    confirms: Mapped[int | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    weights_bytes: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class Progress(Base):
    """Where a running trial is, overwritten about once a second and deleted when the trial ends.

    ``stage`` is a training stage's name, ``epoch`` counts from 1, ``fraction`` is the part of that epoch
    that is done, ``loss`` the mean per sample of that part. ``note`` says what the trial waits for, if it does.
    """

    __tablename__ = "rectuner_progress"

    slot_id: Mapped[int] = mapped_column(ForeignKey("rectuner_slots.id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[str] = mapped_column(String(32))
    epoch: Mapped[int]
    epochs: Mapped[int]
    fraction: Mapped[float]
    loss: Mapped[float | None]
    valid_score: Mapped[float | None]
    note: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class Epoch(Base):
    """One finished epoch of a trial's own stage (finetuning); those of shared stages are in StageEpoch.

    ``loss`` is the sum of the batches' losses, as RecBole reports it, ``mean_loss`` the mean per sample, which is what
    people are shown; None in rows from before it was kept.
    """

    __tablename__ = "rectuner_epochs"

    slot_id: Mapped[int] = mapped_column(ForeignKey("rectuner_slots.id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[str] = mapped_column(String(32), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    loss: Mapped[float | None]
    mean_loss: Mapped[float | None]
    valid_score: Mapped[float | None]
    valid_result: Mapped[dict[str, Any] | None]
    seconds: Mapped[float]


class TrialFile(Base):
    """What a file in a trial's folder should hold: ``sha256``, or ``previous`` while the new file is being written."""

    __tablename__ = "rectuner_trial_files"

    slot_id: Mapped[int] = mapped_column(ForeignKey("rectuner_slots.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    previous: Mapped[str | None] = mapped_column(String(64))


class Rung(Base):
    """A rung that a trial has reached, in successive halving with promotion.

    ``rung`` counts from 0, ``epoch`` is where it is, ``score`` the trial's best by then. A trial that is not
    (yet) ``promoted`` from its highest rung is paused there.
    """

    __tablename__ = "rectuner_rungs"

    slot_id: Mapped[int] = mapped_column(ForeignKey("rectuner_slots.id", ondelete="CASCADE"), primary_key=True)
    rung: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    score: Mapped[float]
    promoted: Mapped[bool] = mapped_column(default=False)


class SharedStage(Base):
    """A stage that trials share (pretraining), identified by what shapes its weights.

    ``holder`` owns the right to run it until ``lease_expires``; everybody may read its checkpoints. ``before_key``
    is the shared stage from whose checkpoint after ``before_epoch`` epochs it starts, None for a model's first.
    """

    __tablename__ = "rectuner_stages"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(100))
    stage: Mapped[str] = mapped_column(String(32))
    dataset: Mapped[str] = mapped_column(String(255))
    before_key: Mapped[str | None] = mapped_column(String(64), index=True)
    before_epoch: Mapped[int | None]
    holder: Mapped[str | None] = mapped_column(ForeignKey("rectuner_workers.id", ondelete="SET NULL"))
    lease_expires: Mapped[float | None]
    target_epoch: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    used_at: Mapped[datetime] = mapped_column(default=utc_now)


class Checkpoint(Base):
    """A file ``<artifacts>/stages/<key>/<epoch>.pth``. Written before its row, deleted after it.

    ``sha256`` is what the file was written with; None for files of before version 0009.
    """

    __tablename__ = "rectuner_checkpoints"
    __table_args__ = (Index("ix_rectuner_checkpoints_used", "used_at"),)

    stage_key: Mapped[str] = mapped_column(ForeignKey("rectuner_stages.key", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    kept: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    used_at: Mapped[datetime] = mapped_column(default=utc_now)


class StageEpoch(Base):
    """One finished epoch of a shared stage. ``times_run`` above 1: it was computed again after a loss.

    ``loss`` and ``mean_loss`` are as in Epoch.
    """

    __tablename__ = "rectuner_stage_epochs"

    stage_key: Mapped[str] = mapped_column(ForeignKey("rectuner_stages.key", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    loss: Mapped[float | None]
    mean_loss: Mapped[float | None]
    seconds: Mapped[float]
    times_run: Mapped[int] = mapped_column(Integer, default=1)


class Event(Base):
    """Something that happened, in the order of ``id``."""

    __tablename__ = "rectuner_events"
    __table_args__ = (Index("ix_rectuner_events_study", "study_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int | None] = mapped_column(ForeignKey("rectuner_studies.id", ondelete="CASCADE"))
    trial: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(default=utc_now)
    kind: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Text)


class Token(Base):
    """What a program, or a person once, says to be let in. ``digest``: SHA-256 of the text, which is nowhere kept."""

    __tablename__ = "rectuner_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scope: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Login(Base):
    """A browser that was let in. ``token_id`` is None for the address that the service prints when it starts."""

    __tablename__ = "rectuner_logins"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_id: Mapped[int | None] = mapped_column(ForeignKey("rectuner_tokens.id", ondelete="CASCADE"))
    scope: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]


class Fact(Base):
    """Something about the installation, by name."""

    __tablename__ = "rectuner_facts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
