"""What people look at, as frozen dataclasses; ``dataclasses.asdict`` turns them into JSON-able dictionaries.

Times of day are UTC, durations seconds. Clients get the same: they are read without SQL, and without what computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from rich.filesize import decimal

from model.protocol import metric_label
from tuner.store.points import CurvePoint
from tuner.store.states import ENDED_STUDY_STATES

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list: ``total`` is the length of the whole."""

    items: tuple[T, ...]
    total: int
    limit: int
    offset: int


@dataclass(frozen=True)
class EpochCounts:
    """Pretraining epochs of a study or trial: needed, really run, and taken from what was there."""

    asked: int
    run: int
    reused: int


@dataclass(frozen=True)
class Weights:
    """Of how many ended trials weights are kept, their size in bytes, and whose are to be kept.

    ``keep``: "best", "all", or the number of the best trials.
    """

    keep: str | int
    trials: int
    size: int

    @property
    def sentence(self) -> str:
        """For people."""
        whose = {"best": "the best trial", "all": "all trials", 1: "the best trial"}.get(
            self.keep, f"the {self.keep} best trials"
        )
        trials = f"{self.trials} trial{'' if self.trials == 1 else 's'}"
        return f"of {whose}: {trials}, {decimal(self.size)}"


@dataclass(frozen=True)
class ConfirmedSet:
    """One parameter set.

    Attributes:
        trial: the trial of the search that found it; ``value`` is that trial's, which had the luck to be chosen.
        seeds, values: training seeds of the finished confirmations, and the objective of each.
        mean, spread: of ``values``; ``spread`` is the sample's standard deviation, None for fewer than two.
        test_result, test_spread: mean of every test metric over the same seeds, and its standard deviation; the latter
            is empty for fewer than two.
    """

    trial: int
    params: dict[str, Any] | None
    value: float | None
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float | None
    spread: float | None
    test_result: dict[str, float]
    test_spread: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """The best set by mean against the next, seed by seed.

    Attributes:
        best, next: their trials.
        pairs: seeds that both have finished.
        difference: mean of best minus next.
        p_value: of a two-sided paired t-test that the means are equal; None when all differences are equal.
    """

    best: int
    next: int
    pairs: int
    difference: float
    p_value: float | None
    test: str = "paired t-test"

    @property
    def sentence(self) -> str:
        """For people."""
        chance = "the same for every seed" if self.p_value is None else f"{self.test}, p = {self.p_value:.3g}"
        return (
            f"Trial {self.best} against trial {self.next}: {self.difference:+.4f} on average of {self.pairs} seeds "
            f"({chance})."
        )


@dataclass(frozen=True)
class Confirmation:
    """Confirmations of a study: ``sets`` has the best mean first, those without a result last."""

    done: int
    total: int
    sets: tuple[ConfirmedSet, ...]
    comparison: Comparison | None


@dataclass(frozen=True)
class StudySummary:
    """A study at a glance.

    Attributes:
        metric, direction: the objective; "ndcg@10", "maximize".
        protocol: how its trials are measured, see :func:`model.protocol.protocol_of`.
        trials_total: the trial budget.
        outage: of a paused study: what is away or full; it goes on by itself. None: it waits for a person.
        counts: trials by state, only states that occur.
        best_value, best_trial, best_params, ...: of the best completed trial (the earliest among equals).
        baseline: ``{"valid": {...}, "test": {...}}`` of the baseline model, None until it is computed.
        eta_seconds: rough time until the budget is used up, None when there is nothing to tell it from.
        workers_wanted: trials at once at most, None for no limit of the study's own.
        workers_alive: workers of the whole installation that were heard of within their lease.
        shared_stages: names of the stages that its trials share, in their order.
        confirmation: what other seeds say of the best parameters, None while nobody asked them.
        computing_seconds: time of all epochs that were computed for the study, whoever computed them.
        weights: whose weights are kept, see :class:`Weights`.
    """

    id: int
    name: str
    model: str
    dataset: str
    state: str
    reason: str | None
    metric: str
    direction: str
    sampler: str
    trials_total: int | None
    counts: dict[str, int]
    best_value: float | None
    best_trial: int | None
    best_params: dict[str, Any] | None
    best_valid_result: dict[str, float] | None
    best_test_result: dict[str, float] | None
    baseline: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    eta_seconds: float | None
    workers_wanted: int | None
    workers_alive: int
    epochs: EpochCounts
    computing_seconds: float
    shared_stages: tuple[str, ...]
    confirmation: Confirmation | None
    weights: Weights
    protocol: dict[str, Any]
    outage: str | None = None

    @property
    def objective(self) -> str:
        """The metric's name with what sets it apart from a full ranking for all users."""
        return metric_label(self.metric, self.protocol)

    @property
    def trials_done(self) -> int:
        """Trials that ended by themselves: completed, pruned, failed or lost. Cancelled ones were not done."""
        return sum(self.counts.get(state, 0) for state in ("completed", "pruned", "failed", "lost"))

    @property
    def exceptions(self) -> str:
        """Ended trials that did not complete, for people: "2 pruned, 1 failed, 7 cancelled"; lost ones have failed."""
        failed = self.counts.get("failed", 0) + self.counts.get("lost", 0)
        shown = {"pruned": self.counts.get("pruned", 0), "failed": failed, "cancelled": self.counts.get("cancelled", 0)}
        return ", ".join(f"{count} {state}" for state, count in shown.items() if count)

    @property
    def ended(self) -> bool:
        return self.state in ENDED_STUDY_STATES


@dataclass(frozen=True)
class Progress:
    """Where a running trial is: ``fraction`` of epoch ``epoch`` (from 1) of ``epochs`` of ``stage``.

    ``mean_loss`` is the mean per sample in the part of the epoch that is done; ``note`` says what the trial does
    besides training: wait, validate, test.
    """

    stage: str
    epoch: int
    epochs: int
    fraction: float
    mean_loss: float | None
    valid_score: float | None
    note: str | None
    updated_at: datetime


@dataclass(frozen=True)
class TrialError:
    """Why a trial failed."""

    type: str
    message: str
    traceback: str


@dataclass(frozen=True)
class TrialSummary:
    """A trial at a glance.

    Attributes:
        number: Optuna's number; None while the trial waits for its first start.
        params: the values of the searched parameters as the configuration gets them; None while unknown.
        value: the objective; of a pruned trial the best by then.
        seconds: from first start to end, or to now.
        worker: ``host:pid`` of the process that runs or ran it.
        attempt: 1 for a trial that ran undisturbed.
        confirms, seed: of a confirmation: the trial whose parameters it runs again, and its training seed.
        same_as: the trial with the same parameters whose result this is; this one was not trained.
        paused_at: the epoch at which a waiting trial waits for its promotion (pruner asha_promotion).
        weights_bytes: size of the weights that are kept of an ended trial, None where none are.
    """

    number: int | None
    state: str
    params: dict[str, Any] | None
    value: float | None
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    worker: str | None
    attempt: int
    error: TrialError | None
    progress: Progress | None
    valid_result: dict[str, float] | None
    test_result: dict[str, float] | None
    best_epoch: int | None
    paused_at: int | None
    confirms: int | None
    seed: int | None
    same_as: int | None
    weights_bytes: int | None

    @property
    def again(self) -> str | None:
        """For people: which trial this one runs again, or whose result it has."""
        if self.same_as is not None:
            return f"same parameters as trial {self.same_as}; its result"
        return None if self.confirms is None else f"trial {self.confirms} again with seed {self.seed}"


@dataclass(frozen=True)
class TrialDetail(TrialSummary):
    """A trial with its curves, the shared stage's epochs first."""

    curves: tuple[CurvePoint, ...]
    epochs: EpochCounts


@dataclass(frozen=True)
class StageCheckpoint:
    """A checkpoint on disk; one that is not ``kept`` only serves to go on after a crash. ``size`` in bytes."""

    epoch: int
    size: int
    kept: bool
    used_at: datetime


@dataclass(frozen=True)
class StageTrial:
    """A trial that begins where the stage stood after ``epochs`` epochs."""

    study: str
    number: int
    state: str
    epochs: int
    value: float | None


@dataclass(frozen=True)
class StageSummary:
    """A stage that trials share.

    Attributes:
        key: what identifies it: a hash of all that shapes its weights.
        before: the key of the stage that it starts from, None for a model's first; ``before_epoch``: after how
            many epochs of that.
        epochs: how far it was trained.
        repeated: epochs that were computed again, after a crash or because their checkpoint was gone.
        seconds: computing time of its epochs.
        target: the epoch that somebody trains it to right now, None when nobody does.
        in_use: whether somebody trains it or a running trial stands on it; its files are not deleted then.
        size: bytes of its checkpoints.
        trials: the best of those that stand on it, directly or on a later stage that does, running ones first;
            ``trials_total`` counts all.
    """

    key: str
    model: str
    stage: str
    dataset: str
    before: str | None
    before_epoch: int | None
    epochs: int
    repeated: int
    seconds: float
    target: int | None
    in_use: bool
    size: int
    checkpoints: tuple[StageCheckpoint, ...]
    trials: tuple[StageTrial, ...]
    trials_total: int
    created_at: datetime
    used_at: datetime


@dataclass(frozen=True)
class CacheUse:
    """What the checkpoints of all shared stages take; sizes in bytes."""

    stages: int
    checkpoints: int
    size: int
    evictable: int


@dataclass(frozen=True)
class Effect:
    """A part of the objective's variation.

    Attributes:
        parameters: one name for what a parameter does alone, two for what they do only together.
        share: of the whole, 0 to 1.
        low, high: between which eight of ten trees of the forest lie; None where the share is no forest's estimate.
    """

    parameters: tuple[str, ...]
    share: float
    low: float | None = None
    high: float | None = None

    @property
    def label(self) -> str:
        return " × ".join(self.parameters)


@dataclass(frozen=True)
class Importances:
    """What the parameters explain, or the reason why that can't be said.

    Attributes:
        evaluator: ``exact``, or one of the estimates in :data:`tuner.insight.evidence.EVALUATORS`.
        method: for people: how it was found, and from how many trials.
        trials: number of completed trials that were looked at; confirmations are not.
        completed: number of completed trials that there are.
        effects: single parameters first, each kind largest first; empty when ``reason`` is given.
        rest: the share that no effect explains alone; None where shares are made to add up to 1.
        pending: whether newer trials are being looked at; see :mod:`tuner.insight.kept_importance`.
    """

    evaluator: str
    method: str
    trials: int
    completed: int
    effects: tuple[Effect, ...] = ()
    rest: float | None = None
    reason: str | None = None
    pending: bool = False


@dataclass(frozen=True)
class EventSummary:
    """One event.

    Attributes:
        id: grows; what happened later has a greater one.
        study: the study's name; None for what concerns no study, such as the loss of an idle worker.
        trial: the number of the trial that it is about, None where it is about none or about one without a number.
        kind: one of :data:`tuner.store.events.KINDS`.
    """

    id: int
    at: datetime
    kind: str
    message: str
    study: str | None
    trial: int | None
