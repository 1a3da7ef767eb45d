"""How every figure looks: palette, layout, log ticks, hover text. Colour never carries a meaning alone.

Colours are of Okabe and Ito (2008): those that stand out both on white and on near-black, since the page has
a light and a dark theme. The page's script gives text and grid lines the page's own colours.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from search.record.record import Record
from search.report.findings import numbers
from search.report.findings.flags import flag_words

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
GREY = "#808890"
CYCLE = (BLUE, PURPLE, ORANGE, SKY, VERMILLION)  # front members; green is the baseline everywhere
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "pentagon", "hexagon")

_MAX_PARAMS = 14
_MAX_TEXT = 60
_MAX_LINES = 4
_DECADE = 10.0
_TICKS = (  # what multiplies powers of ten, from wide ranges to narrow ones
    (1.0,),
    (1.0, 2.0, 5.0),
    tuple(digits / 10 for digits in range(10, 100, 5)),
    tuple(digits / 10 for digits in range(10, 100)),
    tuple(digits / 100 for digits in range(100, 1000)),
)


def text(value: object) -> str:
    """Text as text: Plotly draws a subset of HTML in labels and hovers, and knows no `&quot;`."""
    plain = str(value)
    short = plain if len(plain) <= _MAX_TEXT else plain[: _MAX_TEXT - 1] + "…"
    return html.escape(short, quote=False)


def lines(parts: Sequence[str]) -> str:
    """The lines of a hover; a long text is wrapped, and cut after `_MAX_LINES`."""
    wrapped = (line for part in parts for line in _wrapped(part))
    return "<br>".join(html.escape(line, quote=False) for line in wrapped)


def _wrapped(part: str) -> list[str]:
    return textwrap.wrap(part, _MAX_TEXT, max_lines=_MAX_LINES, placeholder=" …") or [""]


def describe(
    record: Record,
    name: str,
    objectives: Sequence[str],
    params: Mapping[str, Any],
    more_lines: Sequence[str] = (),
) -> tuple[str, ...]:
    """The lines of a hover: which run, how it ended, what it spent, what the figure is about, parameters."""
    spent = [
        f"{numbers.label(objective)}: "
        f"{numbers.objective_value(objective, record.values[objective], record.energy_error_j)}"
        for objective in objectives
        if objective in record.values
    ]
    shown = [f"{key} = {numbers.parameter(value)}" for key, value in params.items()]
    more = len(shown) - _MAX_PARAMS
    if more > 0:
        shown = [*shown[:_MAX_PARAMS], f"… and {more} more"]
    flags = (f"flag: {flag_words(flag)}" for flag in record.flags)
    return (f"{name}, {record.outcome.value}", *spent, *more_lines, *flags, *shown)


def spans_decade(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) >= _DECADE * min(values)


def axis(title: str, values: Sequence[float], *, log: bool, from_zero: bool = False) -> dict[str, Any]:
    """Axis settings with a little room around `values`; a log axis is ticked 1, 2, 5 in plain numbers."""
    shared: dict[str, Any] = {"title": {"text": text(title)}, "zeroline": False, "automargin": True}
    if log:
        low, high = min(values) / 1.3, max(values) * 1.3
        ticks = log_ticks(low, high)
        return shared | {
            "type": "log",
            "range": [math.log10(low), math.log10(high)],
            "tickangle": 0,
            "tickvals": ticks,
            "ticktext": [f"{tick:,.12g}" for tick in ticks],
        }
    return shared | ({"rangemode": "tozero"} if from_zero else {})


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten in a range; only the powers where it is wider than two decades, and
    more digits where it is so narrow that fewer than two would lie in it."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks: list[float] = []
    for steps in _TICKS[0 if high / low > _DECADE**2 else 1 :]:
        ticks = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) > 1:
            break
    return ticks


def figure(height: int, **layout: Any) -> go.Figure:
    """An empty figure in the shared style: no background of its own, the legend in a row above."""
    return go.Figure(
        layout={
            "template": "none",
            "height": height,
            "margin": {"l": 60, "r": 44, "t": 24, "b": 56},  # on the right: room for the two buttons
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13},
            "hoverlabel": {"align": "left"},
            "hovermode": "closest",
            "modebar": {"orientation": "v", "bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
                "traceorder": "normal",
            },
        }
        | layout
    )
