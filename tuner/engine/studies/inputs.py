"""What a study reads from disk and can't do without, looked at before the study is created."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from model.config import Config
from model.data import SequentialDataset, catalog
from model.data.atomic import read_header
from model.errors import AttributeColumnMissing, ConfigError, DataError, ModelError
from model.evaluation import check_ranking
from tuner.engine.plan import Plan, planned
from tuner.engine.studies.given import check_given
from tuner.errors import Problems, TunerError
from tuner.space import SearchSpace
from tuner.space.check import extremes

# The key by which models name a column of the item file that they can't do without.
_ATTRIBUTE = "item_attribute"
# The key that says how long histories may be.
_LONGEST = "MAX_ITEM_LIST_LENGTH"

Problem = ModelError | TunerError


def check_inputs(plan: Plan, load: Callable[[Config], SequentialDataset]) -> None:
    """Check that every trial can be trained, validated and measured, as far as that is known before it begins.

    The data set is read for it, once for every column that trials may take for the items' attribute.

    Args:
        load: gives the data set of a configuration.

    Raises:
        ModelError, TunerError: what stands in the way, and the fix. Where several things do, a SpecificationError
            lists them all.
    """
    problems = Problems()
    problems.found += _problems(plan, load)
    problems.raise_found()


def _problems(plan: Plan, load: Callable[[Config], SequentialDataset]) -> Iterator[Problem]:
    unvalidated = list(_never_validates(plan))
    yield from unvalidated
    try:
        check_given(plan)
    except (ModelError, TunerError) as error:
        yield error
    try:
        folder = catalog.locate(plan.specification.dataset, plan.fixed["data_path"])
    except DataError as error:
        yield error
        return
    for name in _attributes(plan):
        config = plan.config.for_stage(
            plan.own_stage.name, _shortest(plan) | ({} if name is None else {_ATTRIBUTE: name})
        )
        try:
            if name is not None:
                _check_attribute(config, folder / f"{plan.specification.dataset}.item", name)
        except DataError as error:
            yield error
            name = None
        try:
            dataset = load(config)
        except ModelError as error:
            yield error
            continue
        yield from _problems_of_data(dataset, config, name, validates=not unvalidated)


def _never_validates(plan: Plan) -> Iterator[ConfigError]:
    """Settings with which no trial would ever have a value."""
    split = plan.fixed["eval_args"]["split"]
    if not plan.fixed["benchmark_filename"]:
        kind, argument = next(iter(split.items()))
        if argument == "test_only" or (kind != "LS" and argument[1] == 0):
            yield ConfigError(
                f"eval_args split = {split}: leaves nothing to validate on, and a trial's value is measured there. "
                "Use e.g. {LS: valid_and_test} or {RS: [0.8, 0.1, 0.1]}."
            )
        if kind != "LS" and argument[0] == 0:
            yield ConfigError(f"eval_args split = {split}: leaves nothing to train on. Make the first share larger.")
    searched = [parameter for parameter in plan.space.parameters if parameter.key == "eval_step"]
    steps = [value for parameter in searched for value in extremes(parameter)] or [plan.fixed["eval_step"]]
    for step in steps:
        if step < 1:
            yield ConfigError(
                f"eval_step = {step}: nothing is ever validated, so that trials get no value. Use 1 or more."
            )


def _problems_of_data(
    dataset: SequentialDataset, config: Config, attribute: str | None, validates: bool
) -> Iterator[ModelError]:
    if validates and not len(dataset.valid):
        yield DataError(f"{dataset.item_file.parent}: no sample is left to validate on. {_more_samples(config)}")
    if attribute is not None:
        try:
            dataset.item_attributes(attribute)
        except DataError as error:
            yield error
    try:
        check_ranking(dataset, config)
    except ModelError as error:
        yield error


def _more_samples(config: Config) -> str:
    if config["benchmark_filename"]:
        return f"The file {config.dataset}.{config['benchmark_filename'][1]}.inter has no rows; fill it."
    split = config["eval_args"]["split"]
    least = {"valid_and_test": 4, "valid_only": 3}.get(str(split.get("LS")))
    needed = f"A user needs {least} interactions for one" if least else "The users have too few interactions for one"
    return f"{needed} with the split {split}. Loosen the filters, or use another split."


def pinned(plan: Plan) -> Plan:
    """The plan with relative paths made absolute: workers may run in another folder.

    A data set in the cache is left to every machine's own cache.
    """
    folder = catalog.locate(plan.specification.dataset, plan.fixed["data_path"])
    before, specification = plan.specification, plan.specification.with_absolute_paths()
    if folder.parent != catalog.cache_root().resolve():
        config = specification.config | {"data_path": str(folder.parent)}
        specification = specification.model_copy(update={"config": config})
    moved = {key: path for key, path in specification.config.items() if before.config.get(key) != path}
    return planned(
        specification,
        plan.config.replace(moved) if moved else plan.config,
        plan.space if specification.space == before.space else SearchSpace.from_json(specification.space),
    )


def _shortest(plan: Plan) -> dict[str, int]:
    """The smallest bound of histories that trials may take, where it is searched: ready histories are not cut."""
    searched = [parameter for parameter in plan.space.parameters if parameter.key == _LONGEST]
    return {_LONGEST: int(min(value for parameter in searched for value in extremes(parameter)))} if searched else {}


def _attributes(plan: Plan) -> list[str | None]:
    """The columns that trials may take for the items' attribute; [None] where the model has none."""
    searched = [parameter for parameter in plan.space.parameters if parameter.key == _ATTRIBUTE]
    if searched:
        return [str(value) for value in searched[0].values]
    name = plan.fixed[_ATTRIBUTE] if _ATTRIBUTE in plan.schema else None
    return [str(name) if name else None]


def _check_attribute(config: Config, file: Path, name: str) -> None:
    columns = list(read_header(file, config)) if file.is_file() else []
    if name in columns:
        return
    there = f"It has {', '.join(columns)}." if columns else "There is no such file."
    fix = "Set item_attribute to a token column of that file" if columns else "Put the item file there"
    raise AttributeColumnMissing(
        f"item_attribute = {name!r}: data set {config.dataset} has no such column in {file}. {there} {fix}."
    )
