"""The front on a terminal: a table beside the baseline, as wide as the terminal has room for."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from search.report.findings import numbers
from search.report.findings.front import FrontRow, front_caption, front_rows, front_title
from search.report.view.data import StudyView

_MOST_LINES = 3  # of parameters
_PARAMS_WIDTH = 40
_NO_END = 100_000


def front_table(view: StudyView) -> FrontTable:
    """The baseline first, then the front; ratios are candidate over baseline, where the baseline reached.

    Lookup-like runs are marked, and where one is on the front, what joins the front without them follows
    below a line.
    """
    objectives = tuple(escape(numbers.label(name)) for name in view.objectives)
    return FrontTable(front_title(view), objectives, front_rows(view), front_caption(view))


@dataclass(frozen=True)
class FrontTable:
    """The front as a table: the parameters in a column where there is room, else in lines below it; and a row
    an objective where a row a run is too wide."""

    title: str
    objectives: tuple[str, ...]
    rows: tuple[FrontRow, ...]
    caption: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, its caption always last."""
        yield Text(self.title, style="italic")
        narrow = self._table(with_params=False)
        needed = Measurement.get(console, options.update(max_width=_NO_END), narrow).maximum
        if needed + _PARAMS_WIDTH <= options.max_width:
            yield self._table(with_params=True)
        else:
            yield narrow if needed <= options.max_width else self._long_table()
            for row in self.rows:
                if pieces := _params(row):
                    yield Pieces((f"trial {row.trial}:", *pieces))
        if self.caption:
            yield Text(self.caption, style="italic dim")

    def _sections(self) -> tuple[Sequence[FrontRow], Sequence[FrontRow]]:
        return [row for row in self.rows if not row.joins], [row for row in self.rows if row.joins]

    def _table(self, *, with_params: bool) -> Table:
        table = Table()
        table.add_column("trial", justify="right", no_wrap=True)
        for label in self.objectives:
            table.add_column(label, justify="right", no_wrap=True)
            table.add_column("ratio", justify="right", no_wrap=True)
        if with_params:
            table.add_column("params that differ", overflow="fold")
        for section in self._sections():
            for row in section:
                params = [Pieces(_params(row))] if with_params else []
                table.add_row(_name(row), *itertools.chain(*_cells(row)), *params)
            table.add_section()
        return table

    def _long_table(self) -> Table:
        table = Table(
            "trial", "objective", Column("value", justify="right"), Column("ratio", justify="right")
        )
        for section in self._sections():
            for row in section:
                names = (_name(row), *[""] * (len(self.objectives) - 1))
                for name, label, cells in zip(names, self.objectives, _cells(row), strict=True):
                    table.add_row(name, label, *cells)
            table.add_section()
        return table


@dataclass(frozen=True)
class Pieces:
    """Short texts one after another, as many as three lines hold; how many more there are is said."""

    pieces: tuple[str, ...]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """All on one line at the most."""
        longest = max(map(len, self.pieces), default=0)
        whole = len(" ".join(self.pieces))
        return Measurement(min(longest, options.max_width), min(whole, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As plain text: what is in it is no markup."""
        yield Text(self.fitting(options.max_width), overflow="fold")

    def fitting(self, width: int) -> str:
        """As much as `_MOST_LINES` lines of this width hold."""
        for kept in range(len(self.pieces), 0, -1):
            left = len(self.pieces) - kept
            more = f"(+{left} more in trials.csv)" if left else ""
            text = " ".join((*self.pieces[:kept], more)).rstrip()
            if len(textwrap.wrap(text, width, break_on_hyphens=False)) <= _MOST_LINES:
                return text
        return " ".join(self.pieces)


def _name(row: FrontRow) -> str:
    notes = [*(["baseline"] if row.is_baseline else []), *(["lookup-like"] if row.lookup else [])]
    return f"{row.trial} ({', '.join(notes)})" if notes else str(row.trial)


def _cells(row: FrontRow) -> list[tuple[str, str]]:
    """Value and ratio of each objective."""
    return [(escape(measure.value), measure.ratio or "-") for measure in row.measures]


def _params(row: FrontRow) -> tuple[str, ...]:
    """`lr=0.001` for each that differs, and the flags."""
    shown = [f"{param.name}={param.value}" for param in row.params]
    flags = "; ".join(name for name, _ in row.flags)
    return (*shown, f"flags: {flags}") if flags else tuple(shown)
