"""Plotly figures of studies and trials, each bounded in points whatever the study's size.

A figure is one function ``(database, study name, theme) -> Figure`` and one registration in :data:`FIGURES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from model.registry import BASELINE
from tuner.insight import series
from tuner.insight.kept_importance import KEEPER
from tuner.insight.stage_tree import stage_tree
from tuner.insight.summaries import Effect, Importances, TrialDetail
from tuner.insight.theme import THEMES, Theme, empty_figure, note
from tuner.store import Database

# What a loss's axis is called: one scale everywhere.
LOSS = "loss, mean per sample"
_NO_MEANS = "These epochs are from before the mean loss per sample was kept"

# More panels than this are too small to read.
_MOST_PANELS = 12


def optimization_history(database: Database, name: str | int, theme: str = "light") -> go.Figure:
    """The value of every finished trial, the best so far, and the baseline as a line."""
    look, data = THEMES[theme], series.history(database, name)
    figure = empty_figure(look, "trial", data.metric, name)
    if not len(data.numbers):
        return note(figure, look, "No finished trial yet")
    done = ~data.pruned
    hover = f"trial %{{x}}<br>{data.metric} %{{y:.4f}}<extra></extra>"
    markers = {"size": 7, "color": look.faint, "line": {"width": 0}}
    figure.add_scatter(
        x=data.numbers[done],
        y=data.values[done],
        mode="markers",
        name="trial",
        marker=markers,
        hovertemplate=hover,
    )
    if data.pruned.any():
        figure.add_scatter(
            x=data.numbers[data.pruned],
            y=data.values[data.pruned],
            mode="markers",
            name="pruned",
            marker=markers | {"symbol": "x-thin-open", "line": {"width": 1.5, "color": look.faint}},
            hovertemplate=hover,
        )
    figure.add_scatter(
        x=data.numbers,
        y=data.best,
        mode="lines+markers" if len(data.numbers) == 1 else "lines",
        name="best so far",
        line={"shape": "hv", "width": 2, "color": look.accent},
        hovertemplate=f"best {data.metric} %{{y:.4f}}<extra></extra>",
    )
    if data.baseline is not None:
        # A trace and not a shape, because shapes don't count when the axis finds its range.
        figure.add_scatter(
            x=[data.numbers[0], data.numbers[-1]],
            y=[data.baseline] * 2,
            mode="lines" if len(data.numbers) > 1 else "markers",
            name=f"{BASELINE} {data.baseline:.4f}",
            line={"dash": "dash", "width": 1.5, "color": look.baseline},
            marker={"symbol": "line-ew-open", "size": 24, "color": look.baseline},
            hovertemplate=f"{BASELINE} {data.baseline:.4f}<extra></extra>",
        )
    figure.update_xaxes(tickformat="d", **_whole_numbers(data.numbers))
    return figure


def parameter_importance(database: Database, name: str | int, theme: str = "light") -> go.Figure:
    """What is known of the parameters' importance; see :func:`importance_bars`."""
    return importance_bars(KEEPER.get(database, name), name, theme)


def importance_bars(found: Importances, name: str | int, theme: str = "light") -> go.Figure:
    """Share of each parameter in the objective's variation, of what they do only together, or why it can't be told."""
    look = THEMES[theme]
    figure = empty_figure(look, None, None, name)
    if found.reason is not None:
        return note(figure, look, f"Not yet: {found.reason}")
    shown = _bars(found, look)[::-1]
    longest = max(effect.share if effect.high is None else max(effect.high, effect.share) for _, effect, _ in shown)
    figure.add_bar(
        x=[effect.share for _, effect, _ in shown],
        y=[label for label, _, _ in shown],
        orientation="h",
        marker={"color": [color for _, _, color in shown], "cornerradius": 3},
        width=0.55,
        error_x=_ranges([effect for _, effect, _ in shown], look),
        customdata=[_range(effect) for _, effect, _ in shown],
        # Beside a range there is no room for a number, which the hover has.
        text=["" if effect.low is not None else f"{effect.share:.1%}" for _, effect, _ in shown],
        textposition="outside",
        textfont={"color": look.muted, "size": 11},
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1%}%{customdata}<extra></extra>",
    )
    figure.update_xaxes(tickformat=".0%", range=[0, min(1.0, longest) * 1.3], showgrid=True, nticks=4, tickangle=0)
    # A line for each parameter of a combination: side by side they leave no room for the bars.
    labels = [label for label, _, _ in shown]
    lines = [label.replace(" × ", "<br>× ") for label in labels]
    figure.update_yaxes(showgrid=False, tickfont={"color": look.text}, ticksuffix="  ", tickvals=labels, ticktext=lines)
    return figure


def _bars(found: Importances, look: Theme) -> list[tuple[str, Effect, str]]:
    """(label, effect, color): single parameters stand out, what several do together is behind them."""
    bars = [(e.label, e, look.accent if len(e.parameters) == 1 else look.faint) for e in found.effects]
    if found.rest is None:
        return bars[:_MOST_PANELS]
    label = "the rest" if found.evaluator == "exact" else "together"
    return [*bars[: _MOST_PANELS - 1], (label, Effect((), found.rest), look.faint)]


def _ranges(effects: Sequence[Effect], look: Theme) -> dict[str, Any] | None:
    if all(effect.low is None for effect in effects):
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [max((effect.high or 0.0) - effect.share, 0.0) for effect in effects],
        "arrayminus": [0.0 if effect.low is None else max(effect.share - effect.low, 0.0) for effect in effects],
        "color": look.muted,
        "thickness": 1.25,
    }


def _range(effect: Effect) -> str:
    return "" if effect.low is None else f", {effect.low:.0%} to {effect.high:.0%} in eight of ten trees"


def learning_curves(database: Database, name: str | int, theme: str = "light") -> go.Figure:
    """Valid score after each epoch: the best trial, the running ones, and others behind them."""
    look = THEMES[theme]
    metric, curves = series.valid_curves(database, name)
    figure = empty_figure(look, "epoch", f"valid {metric}", name)
    return _curves(figure, look, curves, "No epoch has been validated yet")


def pretraining_curves(database: Database, name: str | int, theme: str = "light") -> go.Figure:
    """Mean loss per sample after each pretraining epoch; trials that share a pretraining share a curve."""
    look = THEMES[theme]
    figure = empty_figure(look, "pretraining epoch", LOSS, name)
    curves = series.shared_curves(database, name)
    old = not curves and series.activity(database, name).shared_epochs > 0
    return _curves(figure, look, curves, _NO_MEANS if old else "No pretraining epoch has ended yet")


def parallel_coordinates(database: Database, name: str | int, theme: str = "light") -> go.Figure:
    """One line a trial through its parameters and its value."""
    look, data = THEMES[theme], series.sample(database, name)
    figure = empty_figure(look, None, None, name)
    if len(data.values) < 2:
        return note(figure, look, "Needs two finished trials")
    names = list(data.params[0])[:_MOST_PANELS]
    columns = [_axis(parameter, [params.get(parameter) for params in data.params]) for parameter in names]
    columns.append({"label": data.metric, "values": list(data.values)})
    figure.add_parcoords(
        dimensions=columns,
        line={
            "color": list(data.values),
            "colorscale": [[0, look.faint], [1, look.accent]],
            "reversescale": data.direction == "minimize",
        },
        labelfont={"color": look.text, "size": 12},
        tickfont={"color": look.muted, "size": 10},
        rangefont={"color": "rgba(0,0,0,0)"},
    )
    figure.update_layout(margin={"l": 48, "r": 40, "t": 44, "b": 20})
    return figure


def parameter_slices(database: Database, name: str | int, theme: str = "light") -> go.Figure:
    """The value against each parameter, one panel a parameter."""
    look, data = THEMES[theme], series.sample(database, name)
    names = list(data.params[0])[:_MOST_PANELS] if data.params else []
    if not names:
        return note(empty_figure(look, None, None, name), look, "No finished trial yet")
    columns = len(names) if len(names) <= 6 else 4
    figure = make_subplots(
        rows=math.ceil(len(names) / columns), cols=columns, shared_yaxes=True, horizontal_spacing=0.03
    )
    figure.update_layout(template=look.template, uirevision=str(name), showlegend=False)
    for place, parameter in enumerate(names):
        values = [params.get(parameter) for params in data.params]
        numeric = _numeric(values)
        figure.add_scatter(
            x=values if numeric else [str(value) for value in values],
            y=data.values,
            mode="markers",
            marker={"size": 7, "color": look.accent, "opacity": 0.55},
            customdata=data.numbers,
            hovertemplate=f"trial %{{customdata}}<br>{parameter} %{{x}}<br>{data.metric} %{{y:.4f}}<extra></extra>",
            row=place // columns + 1,
            col=place % columns + 1,
        )
        axis = {"title": {"text": parameter}, "nticks": 5} | (_scale(values) if numeric else {"type": "category"})
        figure.update_xaxes(axis, row=place // columns + 1, col=place % columns + 1)
    figure.update_yaxes(title={"text": data.metric}, col=1)
    return figure


def trial_loss(trial: TrialDetail, stage: str, theme: str = "light") -> go.Figure:
    """Mean loss per sample of one trial after each epoch of ``stage``."""
    look = THEMES[theme]
    known = [point for point in trial.curves if point.stage == stage]
    points = [(point.epoch, point.mean_loss) for point in known if point.mean_loss is not None]
    curve = series.Curve("loss", "best", tuple(e for e, _ in points), tuple(v for _, v in points))
    figure = empty_figure(look, f"{stage} epoch", LOSS, f"{trial.number}-{stage}")
    empty = _NO_MEANS if known else f"No {stage} epoch has ended yet"
    _curves(figure, look, [curve] if points else [], empty)
    return figure.update_layout(showlegend=False)


def trial_scores(trial: TrialDetail, theme: str = "light", prefix: str | None = None) -> go.Figure:
    """Valid metrics of one trial after each epoch; ``prefix`` keeps those of one kind ("ndcg")."""
    look = THEMES[theme]
    points = [point for point in trial.curves if point.valid_result]
    names = list(points[0].valid_result or {}) if points else []
    figure = empty_figure(look, "epoch", "valid", f"{trial.number}-scores")
    for metric in [name for name in names if prefix is None or name.startswith(prefix)][:_MOST_PANELS]:
        figure.add_scatter(
            x=[point.epoch for point in points],
            y=[(point.valid_result or {}).get(metric) for point in points],
            mode="lines+markers" if len(points) < 40 else "lines",
            marker={"size": 5},
            line={"width": 1.75},
            name=metric,
            hovertemplate=f"{metric} %{{y:.4f}}<br>epoch %{{x}}<extra></extra>",
        )
    if not points:
        return note(figure, look, "No epoch was evaluated yet")
    if trial.best_epoch is not None:
        figure.add_vline(x=trial.best_epoch, line={"dash": "dot", "width": 1, "color": look.muted})
    figure.update_xaxes(tickformat="d", **_whole_numbers([point.epoch for point in points]))
    return figure


Figure = Callable[[Database, str | int, str], go.Figure]

FIGURES: dict[str, Figure] = {
    "optimization_history": optimization_history,
    "parameter_importance": parameter_importance,
    "learning_curves": learning_curves,
    "pretraining_curves": pretraining_curves,
    "stage_tree": stage_tree,
    "parallel_coordinates": parallel_coordinates,
    "parameter_slices": parameter_slices,
}


def _curves(figure: go.Figure, look: Theme, curves: Sequence[series.Curve], empty: str) -> go.Figure:
    if not curves:
        return note(figure, look, empty)
    colors = {"best": look.accent, "main": look.accent, "running": look.running, "other": look.faint}
    for curve in curves:
        figure.add_scatter(
            x=curve.epochs,
            y=curve.values,
            mode="lines+markers" if len(curve.epochs) < 3 else "lines",
            name=f"{curve.label} (best)" if curve.role == "best" and len(curves) > 1 else curve.label,
            line={"width": 1.25 if curve.role == "other" else 2.25, "color": colors[curve.role]},
            showlegend=curve.role in ("best", "running") and len(curves) > 1,
            hovertemplate=f"{curve.label}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        )
    figure.update_xaxes(tickformat="d", **_whole_numbers([e for curve in curves for e in curve.epochs]))
    return figure


def _whole_numbers(values: Any) -> dict[str, Any]:
    """Ticks at whole numbers. No range: one that follows the data would undo the reader's zoom."""
    return {"dtick": 1} if max(values) - min(values) < 8 else {}


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _scale(values: Sequence[Any]) -> dict[str, Any]:
    """Axis settings for numbers: ticks at few levels, a logarithm for a wide range."""
    levels = sorted(set(values))
    axis: dict[str, Any] = {"type": "log", "dtick": 1} if _wide(values) else {}
    if len(levels) <= 6:
        axis |= {"tickvals": levels, "ticktext": [f"{level:g}" for level in levels], "tickangle": 0}
    return axis


def _wide(values: Sequence[Any]) -> bool:
    return bool(min(values) > 0 and max(values) / min(values) > 50)


def _axis(parameter: str, values: list[Any]) -> dict[str, Any]:
    """A dimension of parallel coordinates: numbers on a scale (its logarithm if wide), others as levels."""
    numeric = _numeric(values)
    if numeric and _wide(values):
        logs = [math.log10(value) for value in values]
        ticks = range(math.floor(min(logs)), math.ceil(max(logs)) + 1)
        return {
            "label": parameter,
            "values": logs,
            "tickvals": list(ticks),
            "ticktext": [f"1e{tick}" for tick in ticks],
        }
    if numeric:
        levels = sorted(set(values))
        return {"label": parameter, "values": values} | ({"tickvals": levels} if len(levels) <= 6 else {})
    texts = sorted({str(value) for value in values})
    return {
        "label": parameter,
        "values": [texts.index(str(value)) for value in values],
        "tickvals": list(range(len(texts))),
        "ticktext": texts,
    }
