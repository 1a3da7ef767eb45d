"""Bars: where the joules went, what the search cost, which parameters mattered. Infos are computed first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from search.console.plural import counted
from search.record.ledger import Phase
from search.record.outcome import Outcome
from search.report import style, words
from search.report.data import StudyView
from search.report.importance import Importance


@dataclass(frozen=True)
class PhasesInfo:
    """Joules by phase for the baseline and the front, and which phases count."""

    names: tuple[str, ...]
    energy_j: Mapping[str, tuple[float, ...]]
    counted: tuple[str, ...]
    kind: str


def phases_info(view: StudyView) -> PhasesInfo:
    """Runs without a ledger have no phases and are left out."""
    known = [(record, record.ledger) for record in view.shown if record.ledger is not None]
    return PhasesInfo(
        names=tuple(words.marked_name(view, record) for record, _ in known),
        energy_j={phase: tuple(float(ledger.energy_j[phase]) for _, ledger in known) for phase in Phase},
        counted=view.counted_phases.phases if view.counted_phases is not None else (),
        kind=words.kind_words(view),
    )


# Phase -> (colour, pattern where it does not count, colour of its name where it does). Neighbours are told
# apart by the gap between them, by their names and, where they are hatched, by the pattern.
_PHASES = {
    Phase.SETUP: (style.ORANGE, ".", "black"),
    Phase.COMPILE: (style.PURPLE, "x", "black"),
    Phase.TRAIN: (style.BLUE, "\\", "white"),
    Phase.EVAL: (style.GREEN, "/", "white"),
    Phase.CHECKPOINT: (style.VERMILLION, "-", "white"),
}


def phases_figure(info: PhasesInfo) -> go.Figure:
    """One stacked bar a run: phases that count are plain, the others are hatched outlines."""
    figure = style.figure(150 + 42 * len(info.names), barmode="stack", bargap=0.35)
    figure.update_layout(uniformtext={"minsize": 10, "mode": "hide"})
    for phase in Phase:
        colour, pattern, name_colour = _PHASES[phase]
        counts = phase in info.counted
        filled = {"color": colour, "line": {"color": "white", "width": 1.5}}
        hatched = {
            "color": colour,
            "line": {"color": colour, "width": 1.5},
            "pattern": {"shape": pattern, "size": 7, "solidity": 0.3},
        }
        figure.add_trace(
            go.Bar(
                y=list(info.names),
                x=list(info.energy_j[phase]),
                name=f"{phase} (counted)" if counts else f"{phase} (not counted)",
                orientation="h",
                marker=filled if counts else hatched,
                text=[phase if counts else ""] * len(info.names),
                textposition="inside",
                insidetextanchor="middle",
                insidetextfont={"color": name_colour},
                textangle=0,
                hovertemplate=f"%{{y}}, {phase}: %{{x:.4g}} J<extra></extra>",
            )
        )
    figure.update_xaxes(style.axis(f"gross energy (J), {info.kind}", [], log=False, from_zero=True))
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure


@dataclass(frozen=True)
class OutcomesInfo:
    """How many runs ended how, and the gross joules that they took (None: not known of any)."""

    runs: Mapping[str, int]
    energy_j: Mapping[str, float | None]
    kind: str


def outcomes_info(view: StudyView) -> OutcomesInfo:
    happened = {name: count for name, count in view.outcomes.items() if count}
    return OutcomesInfo(
        happened, {name: view.cost.by_outcome_j.get(name) for name in happened}, words.kind_words(view)
    )


def outcomes_figure(info: OutcomesInfo) -> go.Figure:
    """Joules by outcome; how many runs took them stands beside the outcome's name."""
    figure = style.figure(96 + 44 * len(info.runs), bargap=0.35)
    joules = [info.energy_j[name] for name in info.runs]
    reached = [name == Outcome.REACHED.value for name in info.runs]
    figure.add_trace(
        go.Bar(
            y=[f"{name}<br>{counted(count, 'run')}" for name, count in info.runs.items()],
            x=[0.0 if value is None else value for value in joules],
            orientation="h",
            text=["energy unknown" if value is None else words.quantity(value, "J") for value in joules],
            textposition="outside",
            cliponaxis=False,
            marker={"color": [style.BLUE if yes else style.GREY for yes in reached]},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    top = max((value for value in joules if value is not None), default=0.0) or 1.0
    settings = style.axis(f"gross energy (J), {info.kind}", [], log=False)
    figure.update_xaxes(settings | {"range": [0, 1.25 * top]})
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure


def importance_figure(importance: Importance) -> go.Figure:
    """Shares of importance, the largest on top."""
    figure = style.figure(110 + 30 * len(importance.shares), bargap=0.35)
    figure.add_trace(
        go.Bar(
            y=[style.text(name) for name in importance.shares],
            x=list(importance.shares.values()),
            orientation="h",
            text=[words.ratio(share) for share in importance.shares.values()],
            textposition="outside",
            cliponaxis=False,
            marker={"color": style.BLUE},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(style.axis("share of importance", [], log=False) | {"range": [0, 1.15]})
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure
