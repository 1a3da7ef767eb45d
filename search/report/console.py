"""The finding on a terminal: the Pareto front beside the baseline, and one line of what the search cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from search.report import words
from search.report.headline import floor_words
from search.report.values import brief_names, differing_params, flat

_MAX_PARAMS = 6


def front_table(summary: Mapping[str, Any]) -> Table:
    """The baseline first, then the front; ratios are candidate over baseline, where the baseline reached.

    Lookup-like runs are marked, and where one is on the front, what joins the front without them follows
    below a line.
    """
    objectives: Sequence[str] = summary["objectives"]
    meter = summary["meter"]
    kind = f"{meter['kind']} by {meter['name']}" if meter["name"] else "no meter"
    title = f"Pareto front of {escape(summary['study'] or 'the study')} (energy {escape(kind)})"
    table = Table(title=title, caption=_caption(summary), caption_justify="left")
    table.add_column("trial", justify="right", no_wrap=True)
    for name in objectives:
        table.add_column(escape(words.label(name)), justify="right", no_wrap=True)
        table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("params that differ", overflow="fold")
    baseline = summary["baseline"]
    others = [entry for entry in summary["front"] if entry["trial"] != baseline["trial"]]
    above = (*_listed(baseline), *others)
    known = {entry["trial"] for entry in above}
    below = [entry for entry in summary["front_without_lookup"] if entry["trial"] not in known]
    paths = differing_params([entry["params"] for entry in (*above, *below)])
    for section in (above, below):
        for entry in section:
            table.add_row(*_cells(entry, baseline, objectives, paths))
        table.add_section()
    return table


def _listed(baseline: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return () if baseline["trial"] is None else (baseline,)


def _caption(summary: Mapping[str, Any]) -> str:
    """What a reader must know before comparing."""
    return escape(" ".join(part for part in (_standing(summary), _lookup(summary), _meters(summary)) if part))


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
    return " ".join(part for part in (_noise(summary), _unconfirmed(summary)) if part)


def _noise(summary: Mapping[str, Any]) -> str:
    """The noise floor of the first objective, and that nothing was saved beyond it where that is so."""
    objective = summary["objectives"][0]
    floor, runs = summary["noise"]["floor"].get(objective), len(summary["noise"]["trials"])
    if floor is None:
        return "The noise floor is not known."
    within = {
        "within noise": "No saving beyond the noise floor",
        "nothing saved": "Nothing was saved; noise floor",
    }.get(summary["saving"], "Noise floor")
    return f"{within}: {floor_words(floor)} in {words.label(objective)}, by {runs} runs of the baseline."


def _unconfirmed(summary: Mapping[str, Any]) -> str:
    return "One run each, not yet confirmed with fresh seeds." if summary["verdict"] is None else ""


def _cells(
    entry: Mapping[str, Any], baseline: Mapping[str, Any], objectives: Sequence[str], paths: Sequence[str]
) -> list[str]:
    is_baseline = entry is baseline
    reached = not is_baseline or baseline["outcome"] == "REACHED"
    is_marked = reached and entry["lookup_like"]
    notes = [*(["baseline"] if is_baseline else []), *(["lookup-like"] if is_marked else [])]
    cells = [f"{entry['trial']} ({', '.join(notes)})" if notes else str(entry["trial"])]
    for name in objectives:
        value = (entry["values"] if reached else entry["spent"]).get(name)
        shown = escape(words.objective_value(name, value, entry["energy_error_j"]))
        cells.append(shown if reached or value is None else f"≥ {shown}")
        cells.append(_ratio(entry, baseline, name))
    return [*cells, escape(_params(entry["params"], paths) + _flags(entry))]


def _ratio(entry: Mapping[str, Any], baseline: Mapping[str, Any], objective: str) -> str:
    reference = baseline["values"].get(objective)
    if baseline["outcome"] != "REACHED" or not reference:
        return "-"
    return words.ratio(entry["values"][objective] / reference)


def _params(params: Mapping[str, Any], paths: Sequence[str]) -> str:
    flattened, names = flat(params), brief_names(paths)
    shown = [f"{names[path]}={words.parameter(flattened[path])}" for path in paths if path in flattened]
    more = len(shown) - _MAX_PARAMS
    return " ".join(shown[:_MAX_PARAMS]) + (f" (+{more} more)" if more > 0 else "")


def _flags(entry: Mapping[str, Any]) -> str:
    return f" flags: {'; '.join(entry['flags'])}" if entry["flags"] else ""


def cost_line(summary: Mapping[str, Any]) -> str:
    """What the search cost, in one plain sentence. Not rich markup: print it with `markup=False`."""
    cost = summary["search_cost"]
    runs, unknown = cost["runs"], cost["runs_without_energy"]
    if not runs:
        return "The search has cost nothing yet: no run has finished."
    if unknown == runs:
        return f"The search cost an unknown energy: none of its {runs} runs has one."
    kind = summary["meter"]["kind"]
    at_least = "at least " if unknown else ""
    line = f"The search cost {at_least}{words.quantity(cost['energy_j'], 'J')} ({kind}) over {runs} runs"
    if unknown:
        line += f", {unknown} of them of unknown energy"
    if cost["saved_by_stopping_j"]:
        saved = words.quantity(cost["saved_by_stopping_j"], "J")
        line += f"; ending runs early saved an estimated {saved} at most"
    if cost["break_even_runs"] is not None:
        after = words.number(cost["break_even_runs"])
        line += f"; it pays for itself after {at_least}{after} runs of the cheapest trial"
    return f"{line}."
