"""What a study cost over all of its runs, and what one run costs under each counting policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from search.record.ledger import CountedPhases, Phase
from search.record.outcome import Outcome
from search.record.record import Record


@dataclass(frozen=True)
class SearchCost:
    """What all runs of the study cost together, whatever became of them."""

    energy_j: Annotated[float, "Gross joules of all runs where they are known."]
    time_s: Annotated[float, "Seconds of all runs where they are known."]
    by_outcome_j: Annotated[
        Mapping[str, float], "Gross joules by outcome; an outcome of unknown joules is absent."
    ]
    saved_by_stopping_j: Annotated[
        float,
        "An estimate, and at most: it takes every run that was ended as dominated to have gone on to its "
        "step limit otherwise.",
    ]
    break_even_runs: Annotated[
        float | None,
        "The joules of search and confirmation over what one run of the recipe that was confirmed saves "
        "beside the documented baseline; before there is a verdict, what one of the cheapest trial saves. "
        "Null where none saves.",
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


def energy_to_target_j(record: Record) -> float | None:
    """Counted joules to the target, whether or not energy is an objective; None where it was not reached."""
    if not record.feasible:
        return None
    if (value := record.values.get("energy_to_target_j")) is not None:
        return float(value)
    return None if record.crossing is None else record.crossing.energy_j


def search_cost(
    records: Sequence[Record], baseline: Record | None, challengers: Sequence[Record]
) -> SearchCost:
    energies = [float(r.gross_energy_j) for r in records if r.gross_energy_j is not None]
    times = [r.ledger.gross_time_s for r in records if r.ledger is not None]
    energy_j = math.fsum(energies)
    return SearchCost(
        energy_j=energy_j,
        time_s=math.fsum(times),
        by_outcome_j=_by_outcome(records),
        saved_by_stopping_j=math.fsum(_saved_at_most_j(record) for record in records),
        break_even_runs=_break_even(energy_j, baseline, challengers),
        runs=len(records),
        interrupted_runs=sum(record.interrupted for record in records),
        runs_without_energy=len(records) - len(energies),
        runs_without_time=len(records) - len(times),
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


def _break_even(energy_j: float, baseline: Record | None, challengers: Sequence[Record]) -> float | None:
    reference = None if baseline is None else energy_to_target_j(baseline)
    costs = [joules for record in challengers if (joules := energy_to_target_j(record)) is not None]
    if reference is None or not costs or min(costs) >= reference:
        return None
    return energy_j / (reference - min(costs))


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
