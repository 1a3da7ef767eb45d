"""What a study cost over all of its runs, and what one run costs under each counting policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from search.record.ledger import CountedPhases, Phase
from search.record.outcome import Outcome, Role
from search.record.prior import PriorStudy
from search.record.record import Record


class Part(StrEnum):
    """A part of a study, by what its runs are for."""

    BASELINE = "baseline"
    SEARCH = "search"
    FITTING = "fitting"
    CONFIRMING = "confirming"


_PARTS = {
    Role.TARGET: Part.BASELINE,
    Role.BASELINE: Part.BASELINE,
    Role.SEARCH: Part.SEARCH,
    Role.SINGLE: Part.SEARCH,
    Role.FIT: Part.FITTING,
    Role.CONFIRM: Part.CONFIRMING,
}


@dataclass(frozen=True)
class SearchCost:
    """What all runs of the study cost together, whatever became of them."""

    energy_j: Annotated[float, "Gross joules of all runs where they are known."]
    time_s: Annotated[float, "Seconds of all runs where they are known."]
    by_outcome_j: Annotated[
        Mapping[str, float], "Gross joules by outcome; an outcome of unknown joules is absent."
    ]
    by_part_j: Annotated[
        Mapping[Part, float],
        "Gross joules by what the runs are for: the baseline (and its run for target_loss=auto), the search, "
        "fitting lengths, confirming; a part of unknown joules is absent.",
    ]
    prior_j: Annotated[float, "Joules of the studies of `prior`; they are not in energy_j."]
    saved_by_stopping_j: Annotated[
        float,
        "An estimate, and at most: it takes every run that was ended as dominated to have gone on to its "
        "step limit otherwise.",
    ]
    rival_margins: Annotated[
        list[float],
        "By what share more than a trial that was measured once the dominated runs had to have spent: one "
        "value, or several where the study's seed noise became known meanwhile; 0 in versions before 0.2.0.",
    ]
    break_even_runs: Annotated[
        float | None,
        "energy_j and prior_j over saved_per_run_j: after so many runs the search has paid for itself; null "
        "where nothing is saved.",
    ]
    saved_per_run_j: Annotated[
        float | None,
        "Counted joules that one run saves against the baseline; null where it saves none, or that is not "
        "known.",
    ]
    saving_confirmed: Annotated[
        bool,
        "Whether that is by the means of the confirmed recipe and the documented baseline, since the verdict "
        "is decided; otherwise by the best trial and the baseline, each by one run.",
    ]
    runs: Annotated[int, "All of them, killed ones too."]
    interrupted_runs: Annotated[int, "Killed before their end."]
    runs_without_energy: Annotated[int, "Whose joules are unknown, and so not in energy_j."]
    runs_without_time: Annotated[int, "Whose seconds are unknown, and so not in time_s."]


@dataclass(frozen=True)
class Accounting:
    """One run under each counting policy: joules, seconds, and their ratio to the baseline's (None: unknown).

    `compile_pays_after_runs` is compile joules over the train joules that one run saves against the baseline;
    None where this run did not compile, the baseline did, or there is no saving.
    """

    record: Record
    energy_j: Mapping[CountedPhases, float]
    time_s: Mapping[CountedPhases, float]
    energy_ratio: Mapping[CountedPhases, float | None]
    compile_pays_after_runs: float | None


def search_cost(
    records: Sequence[Record],
    baseline: Record | None,
    best: Record | None,
    confirmed_saving_j: float | None = None,
    prior: Sequence[PriorStudy] = (),
) -> SearchCost:
    """`confirmed_saving_j` is what one run saves by a decided verdict; None without one."""
    energies = [float(r.gross_energy_j) for r in records if r.gross_energy_j is not None]
    times = [r.ledger.gross_time_s for r in records if r.ledger is not None]
    energy_j, prior_j = math.fsum(energies), math.fsum(one.energy_j for one in prior)
    confirmed = confirmed_saving_j is not None
    saved_j = confirmed_saving_j if confirmed else _saved_by(best, baseline)
    saved_j = saved_j if saved_j is not None and saved_j > 0 else None
    return SearchCost(
        energy_j=energy_j,
        time_s=math.fsum(times),
        by_outcome_j=_by_outcome(records),
        by_part_j=_by_part(records),
        prior_j=prior_j,
        saved_by_stopping_j=math.fsum(_saved_at_most_j(record) for record in records),
        rival_margins=_rival_margins(records),
        break_even_runs=None if saved_j is None else (energy_j + prior_j) / saved_j,
        saved_per_run_j=saved_j,
        saving_confirmed=confirmed,
        runs=len(records),
        interrupted_runs=sum(record.interrupted for record in records),
        runs_without_energy=len(records) - len(energies),
        runs_without_time=len(records) - len(times),
    )


def _by_part(records: Sequence[Record]) -> dict[Part, float]:
    """Gross joules by part, those of unknown energy left out as in `_by_outcome`."""
    joules: dict[Part, list[float]] = {}
    for record in records:
        if record.gross_energy_j is not None:
            joules.setdefault(_PARTS[record.role], []).append(float(record.gross_energy_j))
    return {part: math.fsum(joules[part]) for part in Part if part in joules}


def _rival_margins(records: Sequence[Record]) -> list[float]:
    """Of the runs that were ended for a trial that was measured once."""
    dominated = [record for record in records if record.outcome is Outcome.DOMINATED]
    rivals = [record.ended_by for record in dominated]
    return sorted(
        {0.0 if one is None else one.margin for one in rivals if one is None or not one.confirmed_seeds}
    )


def _by_outcome(records: Sequence[Record]) -> dict[str, float]:
    """Gross joules by outcome; an outcome of which no run has a known energy is left out rather than 0."""
    joules: dict[str, list[float]] = {}
    for record in records:
        if record.gross_energy_j is not None:
            joules.setdefault(record.outcome.value, []).append(float(record.gross_energy_j))
    return {outcome.value: math.fsum(joules[outcome.value]) for outcome in Outcome if outcome.value in joules}


def _saved_at_most_j(record: Record) -> float:
    """The train joules of the steps that a dominated run did not take, had it gone on to its limit."""
    limit = record.max_steps
    if record.outcome is not Outcome.DOMINATED or record.ledger is None or record.steps <= 0 or limit is None:
        return 0.0
    return max(0.0, float(limit) - record.steps) * record.ledger.energy_j[Phase.TRAIN] / record.steps


def _saved_by(best: Record | None, baseline: Record | None) -> float | None:
    ours, theirs = (None if record is None else record.energy_to_target_j for record in (best, baseline))
    return None if ours is None or theirs is None else theirs - ours


def accounting(record: Record, baseline: Record | None) -> Accounting:
    assert record.ledger is not None
    energy = {policy: record.ledger.counted_energy_j(policy) for policy in CountedPhases}
    comparable = (
        record.feasible and baseline is not None and baseline.feasible and baseline.ledger is not None
    )
    reference = baseline.ledger if comparable and baseline is not None else None

    def ratio(policy: CountedPhases) -> float | None:
        return None if reference is None else ratio_of(energy[policy], reference.counted_energy_j(policy))

    return Accounting(
        record=record,
        energy_j=energy,
        time_s={policy: record.ledger.counted_time_s(policy) for policy in CountedPhases},
        energy_ratio={policy: ratio(policy) for policy in CountedPhases},
        compile_pays_after_runs=None if reference is None else _compile_pays(record, reference.energy_j),
    )


def _compile_pays(record: Record, baseline_j: Mapping[Phase, float]) -> float | None:
    assert record.ledger is not None
    compile_j = record.ledger.energy_j[Phase.COMPILE]
    saving_j = baseline_j[Phase.TRAIN] - record.ledger.energy_j[Phase.TRAIN]
    return compile_j / saving_j if compile_j > 0 and baseline_j[Phase.COMPILE] == 0 and saving_j > 0 else None


def ratio_of(value: float, reference: float) -> float | None:
    return float(value) / float(reference) if reference > 0 else None
