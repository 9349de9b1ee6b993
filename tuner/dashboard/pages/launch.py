"""``/launch``: a study from a params file, pasted or chosen, which is explained while it is typed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dash_mantine_components as dmc
from anyio import to_thread
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from pydantic import ValidationError

from model.definition import Stage
from model.errors import ModelError
from model.literals import parse_yaml
from model.registry import DEFAULT, get_model, model_names
from tuner import space
from tuner.assembly import describe_all
from tuner.bounded import assemble_bounded
from tuner.dashboard.acting import acting
from tuner.dashboard.components import text
from tuner.dashboard.context import Context
from tuner.dashboard.pages.page import Page
from tuner.dashboard.permission import require_write
from tuner.engine.studies import creation
from tuner.engine.studies.draft import Draft
from tuner.errors import Problems, SpecificationError, SpecificationErrors, TunerError
from tuner.fields import StudyField, fields_of, read_texts
from tuner.insight import installation
from tuner.space import SearchSpace
from tuner.specification import StudyOptions

# The file that a pasted text counts as; a chosen file's suffix says what format it has.
_NAME = "hyper.test"
# What most people set; the other fields are folded up.
_OPEN = ("model", "dataset", "name", "sampler", "max_trials", "config")


def _layout(_context: Context) -> Component:
    datasets = [dataset.name for dataset in installation.list_datasets() if dataset.folder is not None]
    models = _tunable()
    model = DEFAULT if DEFAULT in models else next(iter(models), None)
    return html.Div(
        [
            html.Div(html.H1("Launch a study"), className="title-row"),
            html.Div(
                className="grid",
                children=[
                    html.Section(
                        className="card span-7",
                        children=[
                            html.Div(
                                [
                                    html.H3("Search space"),
                                    html.Span(_NAME, id="launch-source", className="muted"),
                                    dcc.Upload(
                                        html.Button("Take a file", className="button", type="button"),
                                        id="launch-file",
                                        max_size=space.MAX_BYTES,
                                        className="right",
                                    ),
                                ],
                                className="card-head",
                                title=f"A text file of up to {space.MAX_BYTES:,} bytes",
                            ),
                            dcc.Textarea(
                                id="launch-params",
                                value=get_model(model).search_space if model else "",
                                className="editor",
                                spellCheck=False,
                                title="Search space",
                            ),
                            html.Div(id="launch-refused"),
                            html.Div(id="launch-space"),
                        ],
                    ),
                    html.Section(
                        className="card span-5 form",
                        children=[
                            *controls(_known(models, model, datasets)),
                            html.Button("Launch", id="launch-go", className="button primary", type="button"),
                            html.Div(id="launch-message", role="alert"),
                        ],
                    ),
                ],
            ),
        ]
    )


def controls(known: Mapping[str, Component], kind: type[StudyOptions] = StudyOptions) -> list[Component]:
    """A control for every field of a study; what is left empty is left out.

    Args:
        known: controls of the fields whose values this installation knows, by name.
    """
    every = {field.name: known[field.name] if field.name in known else _control(field) for field in fields_of(kind)}
    folded = [control for name, control in every.items() if name not in _OPEN]
    return [
        *(every[name] for name in _OPEN),
        html.Details([html.Summary("More"), html.Div(folded, className="form")]),
    ]


def _known(models: list[str], model: str | None, datasets: list[str]) -> dict[str, Component]:
    described = {field.name: field for field in fields_of(StudyOptions)}
    return {
        "model": dmc.Select(
            id=_id("model"), label=described["model"].label, data=models, value=model, allowDeselect=False
        ),
        "dataset": dmc.Select(
            id=_id("dataset"),
            label=described["dataset"].label,
            data=datasets,
            value=datasets[0] if datasets else None,
            searchable=True,
            description=None if datasets else "There is none yet: tuner data get ml-100k",
        ),
        "config": dmc.Textarea(
            id=_id("config"),
            label=described["config"].label,
            description="Fixed values, as in RecBole's YAML files",
            placeholder="train_batch_size: 1024\nepochs: 50",
            minRows=4,
            autosize=True,
            className="mono",
        ),
    }


def _control(field: StudyField) -> Component:
    control: Component
    what = {
        "id": _id(field.name),
        "label": field.label,
        "description": field.description,
        "placeholder": field.default_text,
    }
    if field.kind == "yes or no" or (field.choices and field.kind in ("structure", "one of")):
        control = dmc.Select(**what, data=list(field.choices) or ["true", "false"], clearable=True)
    elif field.kind in ("whole number", "number"):
        control = dmc.NumberInput(**what, allowDecimal=field.kind == "number", debounce=300)
    else:
        control = dmc.TextInput(**what, debounce=300)
    return control


def _id(name: str) -> str:
    return f"launch-{name.replace('_', '-')}"


def _tunable() -> list[str]:
    """The models that have something to train."""
    return [name for name in model_names() if _stages(name)]


def _stages(name: str) -> tuple[Stage, ...]:
    try:
        return get_model(name).stages
    except ModelError:
        # A plug-in that can't be imported is said by `tuner models`; the page is there for the others.
        return ()


def _register(app: Dash, context: Context) -> None:
    @app.callback(
        Output("launch-params", "value"),
        Input("launch-model", "value"),
        State("launch-params", "value"),
        prevent_initial_call=True,
    )
    async def suggest(model: str, params: str | None) -> Any:
        """The model's own search space, unless something was written."""
        written = params not in {None, "", *(get_model(name).search_space for name in _tunable())}
        return no_update if written else get_model(model).search_space

    @app.callback(
        Output("launch-params", "value", allow_duplicate=True),
        Output("launch-source", "children"),
        Output("launch-refused", "children"),
        # Emptied, so that the same file can be chosen again.
        Output("launch-file", "contents"),
        Input("launch-file", "contents"),
        State("launch-file", "filename"),
        prevent_initial_call=True,
    )
    async def take(contents: str | None, filename: str | None) -> tuple[Any, ...]:
        if contents is None:
            raise PreventUpdate
        try:
            return _text_of(contents, filename or _NAME), filename or _NAME, None, None
        except TunerError as error:
            return no_update, no_update, _problem(str(error)), None

    fields = {field.name: _id(field.name) for field in fields_of(StudyOptions)}

    @app.callback(
        Output("launch-space", "children"),
        Input("launch-params", "value"),
        Input("launch-source", "children"),
        *(Input(control, "value") for control in fields.values()),
    )
    async def explain(params: str | None, source: str | None, *values: Any) -> Any:
        given = dict(zip(fields, values, strict=True))
        return await to_thread.run_sync(_explained, context, params or "", source, given)

    @acting(
        app,
        [Output("location", "pathname", allow_duplicate=True), Output("launch-message", "children")],
        [Input("launch-go", "n_clicks")],
        [
            State("launch-params", "value"),
            State("launch-source", "children"),
            *(State(control, "value") for control in fields.values()),
        ],
        running=[(Output("launch-go", "disabled"), True, False)],
    )
    async def launch(_clicked: str, params: str | None, source: str | None, *values: Any) -> tuple[Any, Any]:
        given = dict(zip(fields, values, strict=True))
        try:
            require_write()
            name = await to_thread.run_sync(_launch, context, params or "", source, given)
        except (TunerError, ModelError) as error:
            return no_update, [_problem(problem) for problem in _each(error)]
        return f"/studies/{quote(name, safe='')}", None


def _launch(context: Context, params: str, source: str | None, given: Mapping[str, Any]) -> str:
    """Create the study and return its name; raises what the REST service answers with a problem."""
    asked = _asked(context, params, source, given)
    return creation.create(context.database, context.settings, asked).name


def _asked(context: Context, params: str, source: str | None, given: Mapping[str, Any]) -> Draft:
    """The study that the form describes; raises everything that is wrong with it."""
    problems = Problems()
    # The two texts are apart, so that what is wrong with one does not hide what is wrong with the other.
    found = problems.gather(lambda: space.parse(params, source or _NAME))
    options = problems.gather(lambda: _options(given))
    problems.raise_found()
    assert found is not None  # or something was raised
    assert options is not None
    return assemble_bounded(context.settings, options, found)


def _options(given: Mapping[str, Any]) -> StudyOptions:
    """The fields of the form; those that were left empty are left out."""
    config = parse_yaml((given.get("config") or "").encode(), "Configuration")
    filled = {name: value for name, value in given.items() if value not in (None, "")}
    try:
        return StudyOptions.model_validate(read_texts(StudyOptions, filled | {"config": config}))
    except ValidationError as error:
        raise SpecificationErrors([SpecificationError(problem) for problem in describe_all(error)]) from None


def _text_of(contents: str, name: str) -> str:
    """The text of a chosen file, which comes as a data URL.

    Raises:
        SpaceError: it is too large, or no text.
    """
    return space.decode(base64.b64decode(contents.partition(",")[2]), name)


def _explained(context: Context, params: str, source: str | None, given: Mapping[str, Any]) -> list[Component]:
    """What the space means and what is remarked about it, as REST answers it; or everything that is wrong."""
    given = dict(given) | {"dataset": given.get("dataset") or "none-chosen-yet"}
    try:
        asked = _asked(context, params, source, given)
        return [_meant(asked.plan.space, asked.notes)]
    except (TunerError, ModelError) as error:
        return [*(_problem(problem) for problem in _each(error)), *_parsed(params, source)]


def _parsed(params: str, source: str | None) -> list[Component]:
    """What the space means where that is all that can be said."""
    try:
        found = space.parse(params, source or _NAME)
    except TunerError:
        return []
    return [_meant(found, found.notes)]


def _each(error: Exception) -> list[str]:
    return [str(each) for each in (error.every if isinstance(error, SpecificationErrors) else (error,))]


def _problem(message: str) -> Component:
    """Errors have a line each."""
    return html.Div(message, className="problem")


def _meant(found: SearchSpace, notes: Sequence[str]) -> Component:
    size = f"{found.size:,} combinations" if found.size is not None else "continuous"
    return html.Div(
        [
            html.Div(
                className="scroll",
                children=html.Table(
                    className="space",
                    children=[
                        html.Tbody(
                            [
                                html.Tr([html.Td(parameter.name, className="strong"), html.Td(_meaning(parameter))])
                                for parameter in found.parameters
                            ]
                        )
                    ],
                ),
            ),
            html.P(f"{len(found.parameters)} parameters, {size}", className="muted small"),
            *[html.P(note, className="note small") for note in notes],
        ]
    )


def _meaning(parameter: space.SpaceParameter) -> str:
    if parameter.effective_range is None:
        return ", ".join(text.value(value) for value in parameter.values)
    low, high = (text.value(bound) for bound in parameter.effective_range)
    step = f" in steps of {text.value(parameter.q)}" if parameter.type == "quniform" else ""
    scale = ", even on a logarithmic scale" if parameter.type == "loguniform" else ""
    return f"{low} to {high}{step}{scale}"


PAGE = Page("/launch", _layout, _register)
