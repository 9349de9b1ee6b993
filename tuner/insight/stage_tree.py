"""The tree of shared stages: what was trained once as the trunks, the trials that stand on it as the leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from tuner.insight import stages
from tuner.insight.summaries import StageSummary, StageTrial
from tuner.insight.theme import THEMES, Theme, empty_figure, note
from tuner.store import Database, TrialState

# What fits a card: more is counted in the figure, and listed by `tuner study stages` and the REST interface.
_MOST_STAGES = 6
_MOST_LEAVES = 28
_ROW_PIXELS = 17


@dataclass(frozen=True)
class _Leaf:
    """One row of the figure: a trial, or how many more there are; it hangs at ``epochs`` of its trunk."""

    epochs: int
    row: int
    text: str
    trial: StageTrial | None


@dataclass(frozen=True)
class _Trunk:
    """A stage, drawn along the row of its first leaf."""

    stage: StageSummary
    row: int
    leaves: tuple[_Leaf, ...]


def stage_tree(database: Database, name: str | int, theme: str = "light") -> go.Figure:
    """How far every shared stage was trained, and from which of its epochs each trial goes on."""
    look, found = THEMES[theme], stages.list_stages(database, name, limit=_MOST_STAGES)
    figure = empty_figure(look, "epoch of the shared stage", None, f"{name}-stages")
    trunks = _trunks(_in_order([stage for stage in found.items if stage.trials or stage.epochs]))
    if not trunks:
        return note(figure, look, "No trial has begun a shared stage yet")
    longest = max(max(trunk.stage.epochs, trunk.stage.target or 0, *_forks(trunk)) for trunk in trunks) or 1
    for trunk in trunks:
        _draw_trunk(figure, look, trunk)
        _draw_branches(figure, look, trunk, 1.06 * longest)
    _draw_leaves(figure, look, [leaf for trunk in trunks for leaf in trunk.leaves], 1.06 * longest)
    rows = 1 + max(leaf.row for trunk in trunks for leaf in trunk.leaves)
    if found.total > len(found.items):
        figure.add_annotation(
            text=f"and {found.total - len(found.items)} more, each with fewer trials",
            x=0,
            y=rows,
            xanchor="left",
            showarrow=False,
            font={"color": look.muted, "size": 11},
        )
    figure.update_layout(showlegend=False, height=max(180, 70 + _ROW_PIXELS * (rows + 1)), hovermode="closest")
    figure.update_yaxes(visible=False, range=[rows + 0.6, -1])
    ticks = sorted({0, longest, *(fork for trunk in trunks for fork in _forks(trunk))})
    figure.update_xaxes(range=[-0.02 * longest, 1.4 * longest], showgrid=False)
    if len(ticks) <= 12:
        figure.update_xaxes(tickvals=ticks)
    return figure


def _in_order(found: Sequence[StageSummary]) -> list[StageSummary]:
    """Every stage before those that start from it."""
    keys = {stage.key for stage in found}
    ordered: list[StageSummary] = []

    def add(stage: StageSummary) -> None:
        ordered.append(stage)
        for later in found:
            if later.before == stage.key:
                add(later)

    for stage in found:
        if stage.before not in keys:
            add(stage)
    return ordered


def _trunks(found: Sequence[StageSummary]) -> list[_Trunk]:
    """Rows from the top: those that leave a trunk last come first, so that no branch crosses another."""
    room = max(1, _MOST_LEAVES // max(1, len(found)))
    trunks, row = [], 0
    for stage in found:
        first, leaves = row, []
        later = [other for other in found if other.before == stage.key]
        # Trials that go through a later stage hang there.
        for other in sorted(later, key=lambda other: -(other.before_epoch or 0)):
            leaves.append(_Leaf(other.before_epoch or 0, row, f"{other.stage} {other.key[:7]}", None))
            row += 1
        shown = () if later else stage.trials[:room]
        for trial in sorted(shown, key=lambda trial: (-trial.epochs, trial.number)):
            leaves.append(_Leaf(trial.epochs, row, _label(trial), trial))
            row += 1
        if stage.trials_total > len(shown) and not later:
            text = f"and {stage.trials_total - len(shown)} more trials"
            leaves.append(_Leaf(leaves[-1].epochs if leaves else 0, row, text, None))
            row += 1
        if not leaves:
            leaves.append(_Leaf(stage.epochs, row, "no trial yet", None))
            row += 1
        trunks.append(_Trunk(stage, first, tuple(leaves)))
        row += 1  # a gap between two trees
    return trunks


def _forks(trunk: _Trunk) -> Iterable[int]:
    return {leaf.epochs for leaf in trunk.leaves}


def _label(trial: StageTrial) -> str:
    ending = trial.state if trial.value is None else f"{trial.value:.4f}"
    return f"trial {trial.number} · {ending}"


def _draw_trunk(figure: go.Figure, look: Theme, trunk: _Trunk) -> None:
    stage = trunk.stage
    again = f", {stage.repeated} of them again" if stage.repeated else ""
    hover = (
        f"{stage.stage} {stage.key[:7]}: {stage.epochs} epochs run{again}<br>{stage.trials_total} trials stand on it"
    )
    if stage.target is not None and stage.target > stage.epochs:
        figure.add_scatter(
            x=[stage.epochs, stage.target],
            y=[trunk.row] * 2,
            mode="lines",
            line={"width": 3, "color": look.running, "dash": "dot"},
            hovertemplate=f"being trained to epoch {stage.target}<extra></extra>",
        )
    # Many points, because a line is hovered at its points only.
    points = [stage.epochs * place / 24 for place in range(25)]
    figure.add_scatter(
        x=points,
        y=[trunk.row] * len(points),
        mode="lines",
        line={"width": 4, "color": look.accent},
        hovertemplate=f"{hover}<extra></extra>",
    )


def _draw_branches(figure: go.Figure, look: Theme, trunk: _Trunk, end: float) -> None:
    x: list[float | None] = []
    y: list[float | None] = []
    for leaf in trunk.leaves:
        x += [leaf.epochs, leaf.epochs, end, None]
        y += [trunk.row, leaf.row, leaf.row, None]
    line = {"width": 1, "color": look.faint}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip")
    forks = sorted(_forks(trunk))
    figure.add_scatter(
        x=forks,
        y=[trunk.row] * len(forks),
        mode="markers",
        marker={"size": 9, "color": look.hover, "line": {"width": 2, "color": look.accent}},
        customdata=[sum(leaf.epochs == fork for leaf in trunk.leaves) for fork in forks],
        hovertemplate="epoch %{x}: the start of %{customdata} rows<extra></extra>",
    )


def _draw_leaves(figure: go.Figure, look: Theme, leaves: Sequence[_Leaf], x: float) -> None:
    colors = {
        TrialState.RUNNING.value: look.running,
        TrialState.COMPLETED.value: look.accent,
        TrialState.FAILED.value: look.baseline,
    }
    figure.add_scatter(
        x=[x] * len(leaves),
        y=[leaf.row for leaf in leaves],
        mode="markers+text",
        text=[leaf.text for leaf in leaves],
        textposition="middle right",
        textfont={"size": 11, "color": look.muted},
        marker={
            "size": [7 if leaf.trial else 1 for leaf in leaves],
            "color": [colors.get(leaf.trial.state, look.faint) if leaf.trial else look.faint for leaf in leaves],
            "line": {"width": 0},
        },
        customdata=[leaf.trial.state if leaf.trial else "" for leaf in leaves],
        hovertemplate="%{text} %{customdata}<extra></extra>",
    )
