"""What the runs of each outcome cost together: bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from search.console.plural import counted
from search.record.outcome import Outcome
from search.report.figures import style
from search.report.findings import numbers
from search.report.findings.names import kind_words
from search.report.view.data import StudyView


@dataclass(frozen=True)
class OutcomesInfo:
    """How many runs ended how, and the gross joules that they took (None: not known of any)."""

    runs: Mapping[str, int]
    energy_j: Mapping[str, float | None]
    kind: str


def outcomes_info(view: StudyView) -> OutcomesInfo:
    happened = {name: count for name, count in view.outcomes.items() if count}
    return OutcomesInfo(
        happened, {name: view.cost.by_outcome_j.get(name) for name in happened}, kind_words(view)
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
            text=["energy unknown" if value is None else numbers.quantity(value, "J") for value in joules],
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
