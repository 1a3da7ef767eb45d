"""What the search cost, and what one run costs under each way to count."""

from __future__ import annotations

from dataclasses import dataclass

from search.console.plural import counted
from search.record.ledger import CountedPhases
from search.report.findings import numbers
from search.report.findings.names import name_of
from search.report.view.cost import Accounting, SearchCost
from search.report.view.data import StudyView

_ACCOUNTINGS_NOTE = (
    "net: gross minus idle power times time; it ranks nothing, and is negative where a run drew less than "
    "the idle device had. compile pays after: compile joules over the train joules that one run saves "
    "against a baseline that does not compile. The saving is that of the whole configuration, not of "
    "compiling alone."
)


@dataclass(frozen=True)
class Tile:
    """A number, and what it is of."""

    value: str
    meaning: str


@dataclass(frozen=True)
class Shares:
    """One run under one policy: joules, their ratio to the baseline's, seconds."""

    energy: str
    ratio: str
    time: str


@dataclass(frozen=True)
class AccountingRow:
    """One run under every policy."""

    name: str
    lookup: bool
    best: bool
    shares: tuple[Shares, ...]
    net: str
    idle_power: str
    compile_pays_after: str


@dataclass(frozen=True)
class Accountings:
    """The shown runs under the three policies, of which one `ranks`; no rows where none has a ledger."""

    policies: tuple[str, ...]
    ranks: str
    rows: tuple[AccountingRow, ...]
    note: str


def cost_line(view: StudyView) -> str:
    """What the search cost, in one plain sentence. Not rich markup: print it with `markup=False`."""
    cost, unknown = view.cost, view.cost.runs_without_energy
    if view.meter is None or not cost.runs:
        return "The search has cost nothing yet: no run has finished."
    if unknown == cost.runs:
        return f"What the search cost is unknown: no energy is known of its {counted(cost.runs, 'run')}."
    line = f"The search cost {_at_least(cost)}{numbers.quantity(cost.energy_j, 'J')} "
    line += f"({view.meter.kind.value}) over {counted(cost.runs, 'run')}"
    if unknown:
        line += f", {unknown} of them of unknown energy"
    if cost.saved_by_stopping_j:
        saved = numbers.quantity(cost.saved_by_stopping_j, "J")
        line += f"; ending runs early saved an estimated {saved} at most"
    if cost.break_even_runs is not None:
        after = numbers.number(cost.break_even_runs)
        line += f"; it pays for itself after {_at_least(cost)}{after} runs of {_whose(view)}"
    return f"{line}."


def _whose(view: StudyView) -> str:
    return "the cheapest trial" if view.claim is None else "the confirmed recipe"


def _at_least(cost: SearchCost) -> str:
    return "at least " if cost.runs_without_energy else ""


def cost_tiles(view: StudyView) -> tuple[Tile, ...]:
    """The search's joules and seconds, what stopping saved, and when the search has paid for itself."""
    cost = view.cost
    saved = "≤ " if cost.saved_by_stopping_j else ""
    return (
        Tile(_gross(cost), _of_runs(cost)),
        Tile(_time(cost), "time inside the runs"),
        Tile(
            f"{saved}{numbers.quantity(cost.saved_by_stopping_j, 'J')}",
            "saved by ending dominated runs early: estimated, at most (as if each had gone on to its step "
            "limit)",
        ),
        _break_even(view),
    )


def _gross(cost: SearchCost) -> str:
    if cost.runs and cost.runs_without_energy == cost.runs:
        return numbers.UNKNOWN
    return f"{_at_least(cost)}{numbers.quantity(cost.energy_j, 'J')}"


def _of_runs(cost: SearchCost) -> str:
    parts = [f"gross energy of {counted(cost.runs, 'run')}"]
    if cost.runs_without_energy:
        parts.append(f"{cost.runs_without_energy} of unknown energy")
    if cost.interrupted_runs:
        parts.append(f"{cost.interrupted_runs} killed")
    return ", ".join(parts)


def _time(cost: SearchCost) -> str:
    if cost.runs and cost.runs_without_time == cost.runs:
        return numbers.UNKNOWN
    return f"{'at least ' if cost.runs_without_time else ''}{numbers.duration(cost.time_s)}"


def _break_even(view: StudyView) -> Tile:
    cost = view.cost
    if cost.break_even_runs is not None:
        return Tile(
            f"{_at_least(cost)}{numbers.number(cost.break_even_runs)} runs",
            f"of {_whose(view)} instead of the baseline until the search has paid for itself",
        )
    if view.claim is not None:
        return Tile(
            "no break-even",
            "the verdict is that nothing was saved, so the search does not pay for itself",
        )
    if view.baseline_reached:
        return Tile(
            "no break-even",
            "no trial saved energy over the baseline, so the search does not pay for itself",
        )
    return Tile(
        numbers.UNKNOWN,
        "until the search has paid for itself: no baseline reached the target, so what a run saves is not "
        "known",
    )


def accountings(view: StudyView) -> Accountings:
    ranks = "" if view.counted_phases is None else view.counted_phases.value
    names = [policy.value for policy in CountedPhases]
    return Accountings(
        policies=tuple(f"{name} (ranks)" if name == ranks else name for name in names),
        ranks=ranks,
        rows=tuple(_accounting_row(view, each) for each in view.accountings),
        note=_ACCOUNTINGS_NOTE,
    )


def _accounting_row(view: StudyView, each: Accounting) -> AccountingRow:
    record, pays = each.record, each.compile_pays_after_runs
    return AccountingRow(
        name=name_of(view, record),
        lookup=view.is_lookup(record),
        best=record is view.best or record is view.best_without_lookup,
        shares=tuple(_shares(each, policy) for policy in CountedPhases),
        net=numbers.quantity(record.net_energy_j, "J"),
        idle_power=numbers.quantity(record.idle_power_w, "W"),
        compile_pays_after="" if pays is None else f"{numbers.number(pays, 2)} runs",
    )


def _shares(each: Accounting, policy: CountedPhases) -> Shares:
    ratio = each.energy_ratio[policy]
    return Shares(
        numbers.quantity(each.energy_j[policy], "J"),
        "" if ratio is None else numbers.ratio(ratio),
        numbers.quantity(each.time_s[policy], "s"),
    )
