"""The finding on a terminal: the Pareto front beside the baseline, and one line of what the search cost."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from search.console.plural import counted
from search.report import words
from search.report.headline import floor_words
from search.report.values import brief_names, differing_params, flat

_MOST_LINES = 3  # of parameters
_PARAMS_WIDTH = 40
_NO_END = 100_000


def front_table(summary: Mapping[str, Any]) -> FrontTable:
    """The baseline first, then the front; ratios are candidate over baseline, where the baseline reached.

    Lookup-like runs are marked, and where one is on the front, what joins the front without them follows
    below a line.
    """
    return FrontTable(summary)


@dataclass(frozen=True)
class FrontTable:
    """The front as a table: the parameters in a column where there is room, else in lines below it; and a row
    an objective where a row a run is too wide."""

    summary: Mapping[str, Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, its caption always last."""
        yield Text(_title(self.summary), style="italic")
        narrow = self._table(with_params=False)
        needed = Measurement.get(console, options.update(max_width=_NO_END), narrow).maximum
        if needed + _PARAMS_WIDTH <= options.max_width:
            yield self._table(with_params=True)
        else:
            yield narrow if needed <= options.max_width else self._long_table()
            for entry in self._entries():
                if pieces := _params(entry, self._paths()):
                    yield Pieces((f"trial {entry['trial']}:", *pieces))
        if caption := _caption(self.summary):
            yield Text(caption, style="italic dim")

    def _sections(self) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
        baseline = self.summary["baseline"]
        others = [entry for entry in self.summary["front"] if entry["trial"] != baseline["trial"]]
        above = (*_listed(baseline), *others)
        known = {entry["trial"] for entry in above}
        below = [entry for entry in self.summary["front_without_lookup"] if entry["trial"] not in known]
        return above, below

    def _entries(self) -> list[Mapping[str, Any]]:
        return [entry for section in self._sections() for entry in section]

    def _paths(self) -> tuple[str, ...]:
        return differing_params([entry["params"] for entry in self._entries()])

    def _table(self, *, with_params: bool) -> Table:
        summary, objectives = self.summary, self.summary["objectives"]
        table = Table()
        table.add_column("trial", justify="right", no_wrap=True)
        for name in objectives:
            table.add_column(escape(words.label(name)), justify="right", no_wrap=True)
            table.add_column("ratio", justify="right", no_wrap=True)
        if with_params:
            table.add_column("params that differ", overflow="fold")
        paths = self._paths()
        for section in self._sections():
            for entry in section:
                params = [Pieces(_params(entry, paths))] if with_params else []
                cells = _cells(entry, summary["baseline"], objectives)
                table.add_row(_name(entry, summary["baseline"]), *itertools.chain(*cells), *params)
            table.add_section()
        return table

    def _long_table(self) -> Table:
        table = Table(
            "trial", "objective", Column("value", justify="right"), Column("ratio", justify="right")
        )
        objectives, baseline = self.summary["objectives"], self.summary["baseline"]
        for section in self._sections():
            for entry in section:
                names = (_name(entry, baseline), *[""] * (len(objectives) - 1))
                for name, objective, cells in zip(
                    names, objectives, _cells(entry, baseline, objectives), strict=True
                ):
                    table.add_row(name, escape(words.label(objective)), *cells)
            table.add_section()
        return table


def _title(summary: Mapping[str, Any]) -> str:
    meter = summary["meter"]
    study = summary["study"] or "the study"
    if not meter["name"]:
        return f"Pareto front of {study}: no run has finished"
    return f"Pareto front of {study} (energy {meter['kind']} by {meter['name']})"


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


def _listed(baseline: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return () if baseline["trial"] is None else (baseline,)


def _caption(summary: Mapping[str, Any]) -> str:
    """What a reader must know before comparing."""
    return " ".join(part for part in (_standing(summary), _lookup(summary), _meters(summary)) if part)


def _lookup(summary: Mapping[str, Any]) -> str:
    """What a lookup-like run on the front is, and the front without such runs."""
    if not any(entry["lookup_like"] for entry in summary["front"]):
        return ""
    others = [str(entry["trial"]) for entry in summary["front_without_lookup"]]
    without = f"the front is trial {', '.join(others)}" if others else "nothing has reached the target"
    return (
        "Lookup-like runs look the next token up, which buys a loss that counting n-grams buys too; "
        f"without them {without}."
    )


def _meters(summary: Mapping[str, Any]) -> str:
    """Where a meter of a better kind disagrees with the one that ranks."""
    for each in summary.get("meters_side_by_side", ()):
        ours, theirs = each["surrogate"], each["reference"]
        if ours["ranks"] and each["verdict"] == "DISAGREES":
            return (
                f"Warning: {theirs['name']} ({theirs['kind']}), read beside {ours['name']} ({ours['kind']}), "
                "orders the trials differently: see the report."
            )
    return ""


def _standing(summary: Mapping[str, Any]) -> str:
    baseline = summary["baseline"]
    if not summary["front"]:
        return "No run has reached the target."
    if baseline["trial"] is None:
        return "No baseline: no ratios."
    if baseline["outcome"] != "REACHED":
        return f"The baseline did not reach the target ({baseline['outcome']}), so there are no ratios."
    return _noise(summary)


def _noise(summary: Mapping[str, Any]) -> str:
    """The noise floor, and that nothing was saved beyond it where that is so."""
    objective = summary["decided_by"]
    floor, runs = summary["noise"]["floor"].get(objective), len(summary["noise"]["trials"])
    if floor is None:
        return "The noise floor is not known: the baseline ran once."
    within = {
        "within noise": "No saving beyond the noise floor",
        "nothing saved": "Nothing was saved; noise floor",
    }.get(summary["saving"], "Noise floor")
    return f"{within}: {floor_words(floor)} in {words.label(objective)}, by {runs} runs of the baseline."


def _name(entry: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    notes = ["baseline"] if entry is baseline else []
    if entry["lookup_like"] and _reached(entry, baseline):
        notes.append("lookup-like")
    return f"{entry['trial']} ({', '.join(notes)})" if notes else str(entry["trial"])


def _reached(entry: Mapping[str, Any], baseline: Mapping[str, Any]) -> bool:
    return entry is not baseline or baseline["outcome"] == "REACHED"


def _cells(
    entry: Mapping[str, Any], baseline: Mapping[str, Any], objectives: Sequence[str]
) -> list[tuple[str, str]]:
    """Value and ratio of each objective."""
    reached = _reached(entry, baseline)
    cells = []
    for name in objectives:
        value = (entry["values"] if reached else entry["spent"]).get(name)
        shown = escape(words.objective_value(name, value, entry["energy_error_j"]))
        shown = shown if reached or value is None else f"≥ {shown}"
        cells.append((shown, _ratio(entry, baseline, name)))
    return cells


def _ratio(entry: Mapping[str, Any], baseline: Mapping[str, Any], objective: str) -> str:
    reference = baseline["values"].get(objective)
    if baseline["outcome"] != "REACHED" or not reference:
        return "-"
    return words.ratio(entry["values"][objective] / reference)


def _params(entry: Mapping[str, Any], paths: Sequence[str]) -> tuple[str, ...]:
    """`lr=0.001` for each that differs, and the flags."""
    flattened, names = flat(entry["params"]), brief_names(paths)
    shown = [f"{names[path]}={words.parameter(flattened[path])}" for path in paths if path in flattened]
    return (*shown, *([f"flags: {'; '.join(entry['flags'])}"] if entry["flags"] else []))


def cost_line(summary: Mapping[str, Any]) -> str:
    """What the search cost, in one plain sentence. Not rich markup: print it with `markup=False`."""
    cost = summary["search_cost"]
    runs, unknown = cost["runs"], cost["runs_without_energy"]
    if not runs:
        return "The search has cost nothing yet: no run has finished."
    if unknown == runs:
        return f"What the search cost is unknown: no energy is known of its {counted(runs, 'run')}."
    kind = summary["meter"]["kind"]
    at_least = "at least " if unknown else ""
    joules = words.quantity(cost["energy_j"], "J")
    line = f"The search cost {at_least}{joules} ({kind}) over {counted(runs, 'run')}"
    if unknown:
        line += f", {unknown} of them of unknown energy"
    if cost["saved_by_stopping_j"]:
        saved = words.quantity(cost["saved_by_stopping_j"], "J")
        line += f"; ending runs early saved an estimated {saved} at most"
    if cost["break_even_runs"] is not None:
        after = words.number(cost["break_even_runs"])
        line += f"; it pays for itself after {at_least}{after} runs of the cheapest trial"
    return f"{line}."
