"""Which parameters mattered: bars."""

from __future__ import annotations

import plotly.graph_objects as go

from search.report.figures import style
from search.report.findings import numbers
from search.report.view.importance import Importance


def importance_figure(importance: Importance) -> go.Figure:
    """Shares of importance, the largest on top."""
    figure = style.figure(110 + 30 * len(importance.shares), bargap=0.35)
    figure.add_trace(
        go.Bar(
            y=[style.text(name) for name in importance.shares],
            x=list(importance.shares.values()),
            orientation="h",
            text=[numbers.ratio(share) for share in importance.shares.values()],
            textposition="outside",
            cliponaxis=False,
            marker={"color": style.BLUE},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(style.axis("share of importance", [], log=False) | {"range": [0, 1.15]})
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure
