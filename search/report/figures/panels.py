"""How a figure fits its screen: where its panels lie when that is wide, and when it is narrow.

A figure carries both as updates of its layout, keyed by path (`xaxis.domain`), in `layout.meta`; the page's
script applies the one that fits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

_BETWEEN_ROWS_PX = 100  # ticks and title of an axis
_BETWEEN_COLUMNS = 0.11  # of the width, less where there are many
_AROUND_PX = 104  # legend above, axis below
_LEGEND_ROW_PX = 20
_NARROW_MARGIN = {"margin.l": 44, "margin.r": 12}


@dataclass(frozen=True)
class Arrangement:
    """Pixels of the whole figure, and the share of it that each axis takes."""

    height: int
    domains: Mapping[str, tuple[float, float]]

    def update(self) -> dict[str, Any]:
        """As an update of a layout, by path."""
        return {f"{axis}.domain": list(domain) for axis, domain in self.domains.items()} | {
            "height": self.height
        }


def arrange(
    count: int, columns: int, panel_px: int, strip_px: int = 0, between_px: int = _BETWEEN_ROWS_PX
) -> Arrangement:
    """`count` panels of `panel_px` pixels, row by row from the top; the lowest `strip_px` of each are a strip
    with a y axis of its own.

    Panel n has the x axis n, the y axis 2n - 1 and, for its strip, the y axis 2n.
    """
    rows = math.ceil(count / columns)
    area_px = rows * panel_px + (rows - 1) * between_px
    between = min(_BETWEEN_COLUMNS, 0.27 / columns)
    width = (1 - between * (columns - 1)) / columns
    domains: dict[str, tuple[float, float]] = {}
    for number in range(1, count + 1):
        row, column = divmod(number - 1, columns)
        left = column * (width + between)
        top_px = area_px - row * (panel_px + between_px)
        bottom_px = top_px - panel_px
        domains[axis_key("x", number)] = (left, left + width)
        domains[axis_key("y", 2 * number - 1)] = ((bottom_px + strip_px) / area_px, top_px / area_px)
        if strip_px:
            domains[axis_key("y", 2 * number)] = (bottom_px / area_px, (bottom_px + strip_px / 2) / area_px)
    return Arrangement(area_px + _AROUND_PX, domains)


def axis_key(letter: str, number: int) -> str:
    """The name of an axis in a layout: `xaxis`, `yaxis3`."""
    return f"{letter}axis{'' if number == 1 else number}"


def _axis_id(letter: str, number: int) -> str:
    return f"{letter}{'' if number == 1 else number}"


def axes_of(number: int, in_strip: bool = False) -> dict[str, str]:
    """What makes a trace lie in panel `number`, or in its strip."""
    return {
        "xaxis": _axis_id("x", number),
        "yaxis": _axis_id("y", 2 * number if in_strip else 2 * number - 1),
    }


def set_axes(
    figure: go.Figure, number: int, x: Mapping[str, Any], y: Mapping[str, Any], strip: str = ""
) -> None:
    """The axes of panel `number`, and those of its strip, where it has one, which `strip` names."""
    plane = axes_of(number)
    lowest = axes_of(number, in_strip=bool(strip))
    layout = {
        axis_key("x", number): {**x, "anchor": lowest["yaxis"]},
        axis_key("y", 2 * number - 1): {**y, "anchor": plane["xaxis"]},
    }
    if strip:
        rail = {"range": [-1, 1], "tickvals": [0], "ticktext": [strip], "fixedrange": True}
        layout[axis_key("y", 2 * number)] = {
            **rail, "anchor": plane["xaxis"], "zeroline": False, "automargin": True
        }  # fmt: skip
    figure.update_layout(layout)


def place(figure: go.Figure, wide: Arrangement, narrow: Arrangement) -> None:
    """Lay the panels out, as on a wide screen, and note both arrangements."""
    figure.update_layout({axis: {"domain": list(domain)} for axis, domain in wide.domains.items()})
    figure.update_layout(height=wide.height)
    note(figure, wide.update(), narrow.update())


def note(figure: go.Figure, wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> None:
    """What changes between a wide and a narrow screen."""
    meta = figure.layout.meta or {}
    figure.update_layout(
        meta={"wide": {**meta.get("wide", {}), **wide}, "narrow": {**meta.get("narrow", {}), **narrow}}
    )


def responsive(figure: go.Figure) -> go.Figure:
    """The figure with what every figure needs where the screen is narrow: slim margins, and height for a
    legend of a row an entry."""
    layout = figure.layout
    narrow = (layout.meta or {}).get("narrow", {})
    entries = len({trace.name for trace in figure.data if trace.name and trace.showlegend is not False})
    legend_px = _LEGEND_ROW_PX * entries if len(figure.data) > 1 else 0
    note(
        figure,
        {"height": layout.height, "margin.l": layout.margin.l, "margin.r": layout.margin.r},
        {**_NARROW_MARGIN, "height": narrow.get("height", layout.height) + legend_px},
    )
    return figure
