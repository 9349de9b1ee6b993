"""``/launch``: a study from a pasted params file, which is explained while it is typed."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import dash_mantine_components as dmc
from anyio import to_thread
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from pydantic import ValidationError

from model.config import load_config
from model.errors import ModelError
from model.literals import parse_yaml
from model.recommender import Stage
from model.registry import DEFAULT, get_model, model_names, parameters_of
from tuner import space
from tuner.assembly import StudyOptions, assemble, describe
from tuner.dashboard.acting import acting
from tuner.dashboard.components import text
from tuner.dashboard.context import Context
from tuner.dashboard.pages.page import Page
from tuner.engine import study as engine
from tuner.errors import TunerError
from tuner.insight import installation
from tuner.space import SearchSpace
from tuner.space.review import review_space

_SAMPLERS = ("auto", "exhaustive", "random", "tpe", "gp", "cmaes", "qmc")


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
                                [html.H3("Search space"), html.Span("hyper.test", className="muted")],
                                className="card-head",
                            ),
                            dcc.Textarea(
                                id="launch-params",
                                value=get_model(model).search_space if model else "",
                                className="editor",
                                spellCheck=False,
                                title="Search space",
                            ),
                            html.Div(id="launch-space"),
                        ],
                    ),
                    html.Section(
                        className="card span-5 form",
                        children=[
                            dmc.Select(
                                id="launch-model",
                                label="Model",
                                data=models,
                                value=model,
                                allowDeselect=False,
                            ),
                            dmc.Select(
                                id="launch-dataset",
                                label="Data set",
                                data=datasets,
                                value=datasets[0] if datasets else None,
                                searchable=True,
                                description=None if datasets else "There is none yet: tuner data get ml-100k",
                            ),
                            dmc.TextInput(
                                id="launch-name", label="Name", placeholder="derived from the content", debounce=300
                            ),
                            html.Div(
                                className="pair",
                                children=[
                                    dmc.Select(
                                        id="launch-sampler",
                                        label="Sampler",
                                        data=list(_SAMPLERS),
                                        value="auto",
                                        allowDeselect=False,
                                    ),
                                    dmc.NumberInput(
                                        id="launch-trials",
                                        label="Trials at most",
                                        placeholder="whole space, or 100",
                                        min=1,
                                        allowDecimal=False,
                                    ),
                                ],
                            ),
                            dmc.Textarea(
                                id="launch-config",
                                label="Configuration",
                                description="Fixed values, as in RecBole's YAML files",
                                placeholder="train_batch_size: 1024\nepochs: 50",
                                minRows=4,
                                autosize=True,
                                className="mono",
                            ),
                            html.Button("Launch", id="launch-go", className="button primary", type="button"),
                            html.Div(id="launch-message", role="alert"),
                        ],
                    ),
                ],
            ),
        ]
    )


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
        Output("launch-space", "children"),
        Input("launch-params", "value"),
        Input("launch-model", "value"),
        Input("launch-config", "value"),
    )
    async def explain(params: str | None, model: str | None, config: str | None) -> Any:
        try:
            found = space.parse(params or "")
            remarks = () if model is None else _remarks(found, model, config)
        except (TunerError, ModelError) as error:
            return html.Div(str(error), className="problem")
        return _explained(found, remarks)

    fields = ("params", "model", "dataset", "name", "sampler", "trials", "config")

    @acting(
        app,
        [Output("location", "pathname", allow_duplicate=True), Output("launch-message", "children")],
        [Input("launch-go", "n_clicks")],
        [State(f"launch-{field}", "value") for field in fields],
        running=[(Output("launch-go", "disabled"), True, False)],
    )
    async def launch(_clicked: str, params: str | None, *fields: Any) -> tuple[Any, Any]:
        try:
            name = await to_thread.run_sync(_launch, context, params or "", *fields)
        except ValidationError as error:
            return no_update, html.Div(describe(error), className="problem")
        except (TunerError, ModelError) as error:
            return no_update, html.Div(str(error), className="problem")
        return f"/studies/{quote(name, safe='')}", None


def _launch(
    context: Context,
    params: str,
    model: str | None,
    dataset: str | None,
    name: str | None,
    sampler: str | None,
    trials: Any,
    config: str | None,
) -> str:
    """Create the study and return its name; raises what the REST service answers with a problem."""
    options = StudyOptions.model_validate(
        {
            "name": name or None,
            "model": model,
            "dataset": dataset,
            "sampler": sampler or "auto",
            "max_trials": trials or None,
            "config": parse_yaml((config or "").encode(), "Configuration"),
        }
    )
    assembled = assemble(options, space.parse(params))
    return engine.create(context.database, context.settings, assembled.specification, assembled.space).name


def _remarks(found: SearchSpace, model: str, config: str | None) -> tuple[str, ...]:
    """Check the space against the model and what is fixed; what the model says to it."""
    fixed = load_config(model, "-", config_dict=parse_yaml((config or "").encode(), "Configuration"))
    found.check(parameters_of(model), fixed=fixed.given)
    return review_space(found, get_model(model), fixed)


def _explained(found: SearchSpace, remarks: tuple[str, ...]) -> Component:
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
            *[html.P(note, className="note small") for note in (*found.notes, *remarks)],
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
