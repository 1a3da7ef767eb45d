"""Bars: where the joules went, what the search cost, which parameters mattered. Infos are computed first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from search.report import style, words
from search.report.data import StudyView
from search.report.importance import Importance
from search.trial import PHASES, Outcome


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
        energy_j={phase: tuple(float(ledger.energy_j[phase]) for _, ledger in known) for phase in PHASES},
        counted=view.meter.counted_phases.phases if view.meter is not None else (),
        kind=words.kind_words(view),
    )


# Phase -> (colour, pattern): each is told from its neighbours by the pattern alone.
_PHASES = {
    "setup": (style.ORANGE, "."),
    "compile": (style.PURPLE, "x"),
    "train": (style.BLUE, "\\"),
    "eval": (style.GREEN, "/"),
    "checkpoint": (style.VERMILLION, "-"),
}


def phases_figure(info: PhasesInfo) -> go.Figure:
    """One stacked bar a run: phases that count are filled, the others only hatched."""
    figure = style.figure(150 + 42 * len(info.names), barmode="stack", bargap=0.35)
    for phase in PHASES:
        colour, pattern = _PHASES[phase]
        counted = phase in info.counted
        figure.add_trace(
            go.Bar(
                y=list(info.names),
                x=list(info.energy_j[phase]),
                name=f"{phase} (counted)" if counted else f"{phase} (not counted)",
                orientation="h",
                marker={
                    "color": colour,
                    "line": {"color": colour, "width": 1.5},
                    "pattern": {"shape": pattern, "size": 7, "solidity": 0.3}
                    | ({"fillmode": "overlay", "fgcolor": "white"} if counted else {}),
                },
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


def outcomes_info(view: StudyView) -> OutcomesInfo:
    happened = {name: count for name, count in view.outcomes.items() if count}
    return OutcomesInfo(happened, {name: view.cost.by_outcome_j.get(name) for name in happened})


def outcomes_figure(info: OutcomesInfo) -> go.Figure:
    """Runs by outcome, with the joules that each outcome took."""
    figure = style.figure(60 + 34 * len(info.runs), bargap=0.35, margin={"l": 60, "r": 44, "t": 24, "b": 12})
    labels = [
        f"{count} run{'' if count == 1 else 's'}, {words.quantity(info.energy_j[name], 'J')}"
        for name, count in info.runs.items()
    ]
    reached = [name == Outcome.REACHED.value for name in info.runs]
    figure.add_trace(
        go.Bar(
            y=list(info.runs),
            x=list(info.runs.values()),
            orientation="h",
            text=labels,
            textposition="outside",
            cliponaxis=False,
            marker={
                "color": [style.BLUE if yes else style.GREY for yes in reached],
                "pattern": {"shape": ["" if yes else "/" for yes in reached], "solidity": 0.3, "size": 7},
            },
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    top = max(info.runs.values(), default=1)
    figure.update_xaxes(range=[0, 1.3 * top], visible=False)
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
