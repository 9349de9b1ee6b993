"""The states of studies, trials and workers, where trials come from, and what tokens allow."""

from __future__ import annotations

from enum import StrEnum


class StudyState(StrEnum):
    """What a study is doing.

    ``queued``: created, no trial has started. ``paused``: no new trials start, running ones go on.
    ``stopping``: what runs is finished, then the study ends. The others are endings: ``completed`` by the
    study's own rules (all trials, early stop, target, time), ``stopped`` and ``cancelled`` by a person,
    ``failed`` when no trial of it succeeded.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless a person asks for it."""
        return self in ENDED_STUDY_STATES


class TrialState(StrEnum):
    """What a trial is doing.

    ``waiting``: may be claimed (for the first time or again). ``lost``: its workers died too often. The last
    five are final and are FAIL in Optuna, except ``completed`` (COMPLETE) and ``pruned`` (PRUNED).
    """

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in ENDED_TRIAL_STATES


class WorkerState(StrEnum):
    """What a worker process is doing; ``lost`` when it was not heard of for a lease."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    LOST = "lost"


class Origin(StrEnum):
    """Where a trial's parameters come from: a grid's combination, the sampler, or a person.

    ``confirm``: those of one of the best trials, run again with another training seed.
    """

    GRID = "grid"
    SAMPLED = "sampled"
    ENQUEUED = "enqueued"
    RETRIED = "retried"
    CONFIRM = "confirm"


class Scope(StrEnum):
    """What a token allows; ``write`` includes ``read``."""

    READ = "read"
    WRITE = "write"


ENDED_STUDY_STATES = frozenset({StudyState.COMPLETED, StudyState.STOPPED, StudyState.CANCELLED, StudyState.FAILED})
GOING_STUDY_STATES = tuple(state for state in StudyState if state not in ENDED_STUDY_STATES)
# Those of trials that have a value, that may still get one, and that have ended, in the order in which they are shown.
VALUED_TRIAL_STATES = (TrialState.COMPLETED, TrialState.PRUNED)
OPEN_TRIAL_STATES = (TrialState.WAITING, TrialState.RUNNING)
ENDED_TRIAL_STATES = (*VALUED_TRIAL_STATES, TrialState.FAILED, TrialState.LOST, TrialState.CANCELLED)
