"""Totals of the installation, for monitoring: what waits, runs and has ended, and what it has cost."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.store import Database
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store import workers as worker_rows


@dataclass(frozen=True)
class Measures:
    """What the installation has done so far.

    Attributes:
        studies, trials, workers: numbers by state; states that do not occur are left out.
        workers: of those that were heard of within their lease.
        epochs: of stages that trials share: "asked", "run", "reused".
        computing_seconds: time of all epochs that were computed.
        claimable: trials that a worker could begin now or soon.
    """

    studies: dict[str, int]
    trials: dict[str, int]
    workers: dict[str, int]
    epochs: dict[str, int]
    computing_seconds: float
    claimable: int


def measures(database: Database) -> Measures:
    """All of it in one snapshot."""
    with database.session() as session:
        totals = slot_rows.totals(session)
        epochs = {key: sum(getattr(total, key) for total in totals) for key in ("asked", "run", "reused")}
        return Measures(
            studies={str(state): count for state, count in study_rows.count_by_state(session).items()},
            trials={str(total.state): total.trials for total in totals},
            workers={str(s): n for s, n in worker_rows.count_alive(session, database.now(session)).items()},
            epochs=epochs,
            computing_seconds=float(sum(total.seconds for total in totals)),
            claimable=slot_rows.count_work(session),
        )
