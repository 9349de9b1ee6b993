"""Studies from before keep the values of their quniforms: bounds on half steps took in one more at an end.

``0.5,3.5,1`` was 0 to 4 and is 1 to 3. What such a study searches is written down with bounds that mean today what
they meant then, so that its distributions, its grid and its asks stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_studies = sa.table("rectuner_studies", sa.column("id", sa.Integer), sa.column("specification", sa.JSON))


def upgrade() -> None:
    connection = op.get_bind()
    for number, specification in connection.execute(sa.select(_studies.c.id, _studies.c.specification)).all():
        parameters = specification["space"]["parameters"]
        kept = [_as_it_was(parameter) for parameter in parameters]
        if kept != parameters:
            space = {**specification["space"], "parameters": kept}
            changed = {**specification, "space": space}
            connection.execute(_studies.update().where(_studies.c.id == number).values(specification=changed))


def downgrade() -> None:
    """Nothing to do: the bounds mean the same to the version before."""


def _as_it_was(parameter: Mapping[str, Any]) -> dict[str, Any]:
    if parameter["type"] != "quniform":
        return dict(parameter)
    low, high, q = (float(parameter[key]) for key in ("low", "high", "q"))
    then = round(low / q), round(high / q)
    if then == _now(*(Fraction(str(number)) for number in (low, high, q))):
        return dict(parameter)
    ends = (float(multiple * Decimal(str(q))) for multiple in then)
    return {**parameter, **dict(zip(("low", "high"), ends, strict=True))}


def _now(low: Fraction, high: Fraction, q: Fraction) -> tuple[int, int]:
    if low == high:
        return round(low / q), round(low / q)
    return math.floor(low / q + Fraction(1, 2)), math.ceil(high / q - Fraction(1, 2))
