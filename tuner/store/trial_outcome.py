"""What a trial has in Optuna's user attributes, readable with any Optuna tool: every name, in one place.

=================  ==================================================================================
``slot``           id of the row in ``rectuner_slots`` that claims the trial
``seen``           numbers of the finished trials that the sampler was shown, as ranges ("0-3,5")
``running``        numbers of the trials that it was shown as chosen, but without a result
``reached``        {number: epoch} of those that it was shown as pruned, for they wait at a rung
``confirms``       of a confirmation: the trial whose parameters it runs again
``seed``           of a confirmation: the training seed
``warm_start``     of a trial that another study made: that study and the trial's number there
=================  ==================================================================================

The others are the trial's outcome, see :class:`TrialOutcome`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

SLOT = "slot"
SEEN, RUNNING, REACHED = "seen", "running", "reached"
CONFIRMS, SEED = "confirms", "seed"
WARM_START = "warm_start"
SAME_AS = "same_as"
INPUTS = "inputs"
SECONDS = "seconds"
# What the seconds of a trial call its test, beside its own stage by its name.
TEST = "test"


@dataclass(frozen=True)
class TrialOutcome:
    """What a trial leaves when it ends; each field is an attribute of that name, None: it has none.

    Attributes:
        best_epoch: epoch (from 1) of the best validation score.
        valid_result: every metric on the validation split at that epoch.
        test_result: every metric on the test split with that epoch's weights; pruned trials are not tested.
        seconds: computing time of the trial's own stage, and of its test (``TEST``), without shared stages.
        values: the parameters as the configuration got them, where Optuna stores another form.
        protocol: what the metrics were measured on, see :func:`model.protocol.protocol_of`.
        error: why a failed trial failed, as "Type: message".
        same_as: the trial with the same parameters whose result this is; it was not trained for this one.
        inputs: SHA-256 of what it was trained on: of the ``data`` and what they are read as, and of the ``pretrained``
            model that it names, if it does. Written when its own stage begins; trials of earlier versions have none.
    """

    best_epoch: int | None = None
    valid_result: dict[str, float] | None = None
    test_result: dict[str, float] | None = None
    seconds: dict[str, float] | None = None
    values: dict[str, Any] | None = None
    protocol: dict[str, Any] | None = None
    error: str | None = None
    same_as: int | None = None
    inputs: dict[str, str] | None = None

    @property
    def attributes(self) -> dict[str, Any]:
        """As user attributes."""
        there = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in there.items() if value is not None}

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> Self:
        """The outcome among a trial's user attributes."""
        return cls(**{field.name: attributes.get(field.name) for field in fields(cls)})


# Names of the attributes that an outcome consists of.
OUTCOME = tuple(field.name for field in fields(TrialOutcome))
