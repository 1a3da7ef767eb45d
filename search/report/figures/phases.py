"""Where the joules went: bars of phases for the baseline and the front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from search.record.ledger import Phase
from search.report.figures import style
from search.report.findings.names import kind_words, marked_name
from search.report.view.data import StudyView


@dataclass(frozen=True)
class PhasesInfo:
    """Joules by phase for the baseline and the front, and which phases count."""

    names: tuple[str, ...]
    energy_j: Mapping[str, tuple[float, ...]]
    counted: tuple[str, ...]
    kind: str


def phases_info(view: StudyView) -> PhasesInfo:
    """Runs without a ledger have no phases and are left out; so is inference, where nothing was generated."""
    known = [(record, record.ledger) for record in view.shown if record.ledger is not None]
    generated = any(ledger.energy_j[Phase.INFERENCE] for _, ledger in known)
    phases = [phase for phase in Phase if generated or phase is not Phase.INFERENCE]
    return PhasesInfo(
        names=tuple(marked_name(view, record) for record, _ in known),
        energy_j={phase: tuple(float(ledger.energy_j[phase]) for _, ledger in known) for phase in phases},
        counted=view.counted_phases.phases if view.counted_phases is not None else (),
        kind=kind_words(view),
    )


# Phase -> (colour, pattern where it does not count, colour of its name where it does). Neighbours are told
# apart by the gap between them, by their names and, where they are hatched, by the pattern.
_PHASES = {
    "setup": (style.ORANGE, ".", "black"),
    "compile": (style.PURPLE, "x", "black"),
    "train": (style.BLUE, "\\", "white"),
    "eval": (style.GREEN, "/", "white"),
    "checkpoint": (style.VERMILLION, "-", "white"),
    "inference": (style.SKY, "|", "black"),
}


def phases_figure(info: PhasesInfo) -> go.Figure:
    """One stacked bar a run: phases that count are plain, the others are hatched outlines."""
    figure = style.figure(150 + 42 * len(info.names), barmode="stack", bargap=0.35)
    figure.update_layout(uniformtext={"minsize": 10, "mode": "hide"})
    for phase in map(Phase, info.energy_j):
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
