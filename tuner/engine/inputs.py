"""What a study reads from disk, looked at before the study is created."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from model.data import catalog
from model.errors import AttributeColumnMissing, DataError
from tuner.engine.given import check_given
from tuner.engine.plan import Plan
from tuner.specification import StudySpecification

# The key by which models name a column of the item file that they can't do without.
_ATTRIBUTE = "item_attribute"


def check_inputs(plan: Plan) -> None:
    """Check that the files are there and have the columns that the model needs.

    Raises:
        DatasetNotFound, AttributeColumnMissing, CheckpointError: what is missing, and the fix.
    """
    folder = catalog.locate(plan.specification.dataset, plan.fixed["data_path"])
    if _ATTRIBUTE in plan.schema:
        for name in _attributes(plan):
            _check_attribute(plan, folder / f"{plan.specification.dataset}.item", name)
    check_given(plan)


def pinned(specification: StudySpecification, plan: Plan) -> StudySpecification:
    """The specification with relative paths made absolute: workers may run in another folder.

    A data set in the cache is left to every machine's own cache.
    """
    folder = catalog.locate(specification.dataset, plan.fixed["data_path"])
    changes: dict[str, str] = {}
    if folder.parent != catalog.cache_root().resolve():
        changes["data_path"] = str(folder.parent)
    specification = specification.with_absolute_paths()
    return specification.model_copy(update={"config": specification.config | changes})


def _attributes(plan: Plan) -> Iterable[str]:
    searched = [parameter for parameter in plan.space.parameters if parameter.key == _ATTRIBUTE]
    if searched:
        return [str(value) for value in searched[0].values]
    name = plan.config[_ATTRIBUTE]
    return [str(name)] if name else []


def _check_attribute(plan: Plan, file: Path, name: str) -> None:
    columns = _columns(plan, file)
    if name in columns:
        return
    there = f"It has {', '.join(columns)}." if columns else "There is no such file."
    fix = "Set item_attribute to a token column of that file" if columns else "Put the item file there"
    raise AttributeColumnMissing(
        f"item_attribute = {name!r}: data set {plan.specification.dataset} has no such column in {file}. {there} {fix}."
    )


def _columns(plan: Plan, file: Path) -> list[str]:
    if not file.is_file():
        return []
    try:
        with file.open(encoding=plan.fixed["encoding"] or "utf-8-sig") as lines:
            header = lines.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: can't be read: {error}.") from error
    return [column.partition(":")[0] for column in header.split(plan.fixed["field_separator"])]
