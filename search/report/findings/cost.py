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
    if view.prior:
        line += f", plus {_prior(view)} {_of_studies(view)}"
    if cost.saved_by_stopping_j:
        saved = numbers.quantity(cost.saved_by_stopping_j, "J")
        line += f"; ending runs early saved an estimated {saved} at most"
    if cost.break_even_runs is not None:
        after = numbers.number(cost.break_even_runs)
        line += f"; it pays for itself after {_at_least(cost)}{after} runs of the {_what_saves(cost)}"
    return f"{line}."


def _prior(view: StudyView) -> str:
    return numbers.quantity(view.cost.prior_j, "J")


def _of_studies(view: StudyView) -> str:
    """Their kind and their names; the joules stand before."""
    studies = "a study" if len(view.prior) == 1 else f"{len(view.prior)} studies"
    names = ", ".join(one.study for one in view.prior)
    return f"({view.prior[0].kind.value}) of {studies} by which the space was narrowed: {names}"


def _what_saves(cost: SearchCost) -> str:
    return "confirmed recipe" if cost.saving_confirmed else "best trial"


def _at_least(cost: SearchCost) -> str:
    return "at least " if cost.runs_without_energy else ""


def cost_tiles(view: StudyView) -> tuple[Tile, ...]:
    """The search's joules and seconds, those of the studies before, what stopping saved, and when all of it
    has paid for itself."""
    cost = view.cost
    saved = "≤ " if cost.saved_by_stopping_j else ""
    return (
        Tile(_gross(cost), _of_runs(cost)),
        *((Tile(f"+ {_prior(view)}", _of_studies(view)),) if view.prior else ()),
        Tile(_time(cost), "time inside the runs"),
        Tile(
            f"{saved}{numbers.quantity(cost.saved_by_stopping_j, 'J')}",
            "saved by ending dominated runs early: estimated, at most (as if each had gone on to its step "
            f"limit){_margin_words(cost)}",
        ),
        *_forecast(view),
        _break_even(view),
        *_prospect(view),
    )


def _forecast(view: StudyView) -> tuple[Tile, ...]:
    """What ending runs by the forecast of their loss saved, and how often it was wrong."""
    stops = view.forecast_stops
    if stops is None:
        return ()
    words = f"of that by forecasts: {counted(stops.ended, 'run')} ended where hardly a chance was left"
    if stops.wrong_low is None or stops.wrong_high is None:
        words += "; none went on to see how often that is wrong"
    else:
        low, high = 100 * stops.wrong_low, 100 * stops.wrong_high
        words += (
            f"; of {counted(stops.audited, 'such run')} that went on {stops.wrong} reached the target "
            f"({low:.0f} to {high:.0f} %)"
        )
    return (Tile(numbers.quantity(stops.saved_j, "J"), words),)


def _prospect(view: StudyView) -> tuple[Tile, ...]:
    """Whether searching on would have paid, as far as its last trials tell."""
    expected = view.prospect
    if expected is None:
        return ()
    saving, cost = numbers.quantity(expected.saving_j, "J"), numbers.quantity(expected.cost_j, "J")
    return (
        Tile(
            f"{numbers.number(expected.uses_to_pay)} runs",
            "of the recipe until one more trial would have paid for itself: it was expected to save "
            f"{saving} a run and to cost {cost}, since {expected.improvements} of the last {expected.trials} "
            "trials were better than all before them",
        ),
    )


def _margin_words(cost: SearchCost) -> str:
    """How sure a run had to be dominated, where one was: nothing where that is without a margin."""
    if not any(cost.rival_margins):
        return ""
    shares = " or ".join(f"{100 * margin:.3g} %" for margin in cost.rival_margins)
    return (
        f"; over a trial that was measured once they had to spend {shares} more, since it may be a lucky one"
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
    by_part = ", ".join(f"{part.value} {numbers.quantity(j, 'J')}" for part, j in cost.by_part_j.items())
    return ", ".join(parts) + (f": {by_part}" if len(cost.by_part_j) > 1 else "")


def _time(cost: SearchCost) -> str:
    if cost.runs and cost.runs_without_time == cost.runs:
        return numbers.UNKNOWN
    return f"{'at least ' if cost.runs_without_time else ''}{numbers.duration(cost.time_s)}"


def _break_even(view: StudyView) -> Tile:
    cost = view.cost
    if cost.break_even_runs is not None:
        return Tile(
            f"{_at_least(cost)}{numbers.number(cost.break_even_runs)} runs",
            f"of the {_what_saves(cost)} instead of the baseline until the search"
            f"{', with the studies before it,' if view.prior else ''} has paid for itself",
        )
    if cost.saving_confirmed:
        return Tile(
            "no break-even",
            "by the means of the confirmation no recipe that reaches the target saves energy, so the search "
            "does not pay for itself",
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
