"""Replicates: a trial that leads a search is run again with another seed. Pure.

The cheapest of many single runs owes a part of that to its seed. So a recipe ranks by the mean over its runs,
and the best of a search have several before one of them is believed (the intensification of SMAC: Hutter,
Hoos and Leyton-Brown 2011). Recipes are told apart by what they train, whatever the seed.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from search.confirm.fit import FARTHEST, length_for
from search.record.noise import can_rank, in_order
from search.record.objective import OBJECTIVES
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.space.canonical import config_key

KeyOfRun = Callable[[Record], str]


def key_of_run(record: Record) -> str:
    """Equal for runs of one recipe."""
    return config_key(record.config)


@dataclass(frozen=True)
class Standing:
    """A recipe that reached the target, in the search: its trials, in their order."""

    runs: tuple[Record, ...]
    objectives: tuple[str, ...]

    @property
    def shown(self) -> Record:
        """The run that stands for it: of those that reached the target the dearest, so that a ratio claims
        too little rather than too much."""
        able = (run for run in self.runs if can_rank(run, self.objectives))
        return max(able, key=in_order(self.objectives))

    @property
    def means(self) -> Mapping[str, float]:
        """Geometric means over its runs, by objective. One that missed the target counts with what it would
        take at the length that its gap asks for. What a seed does not move is that of one run."""
        return {
            name: _mean([_taken(run, name) for run in self.runs])
            if OBJECTIVES[name].by_luck
            else self.shown.values[name]
            for name in self.objectives
        }


def standings(
    records: Sequence[Record], objectives: Sequence[str], key: KeyOfRun = key_of_run
) -> list[Standing]:
    """The recipes with a trial that reached the target and has a value of every objective, by their means."""
    return sorted(recipes(records, objectives, key), key=lambda one: tuple(one.means.values()))


def recipes(
    records: Sequence[Record], objectives: Sequence[str], key: KeyOfRun = key_of_run
) -> list[Standing]:
    """Those of `standings`, in the order of their first trials."""
    runs: dict[str, list[Record]] = {}
    reached: set[str] = set()
    for record in records:
        if record.role is Role.SEARCH and record.outcome.completes and not record.interrupted:
            recipe = key(record)
            runs.setdefault(recipe, []).append(record)
            if can_rank(record, objectives):
                reached.add(recipe)
    names = tuple(objectives)
    return [Standing(tuple(of_recipe), names) for recipe, of_recipe in runs.items() if recipe in reached]


def replicate_due(
    records: Sequence[Record],
    objectives: Sequence[str],
    leaders: int,
    replicates: int,
    share: float,
    busy: Sequence[str] = (),
    key: KeyOfRun = key_of_run,
) -> Record | None:
    """A trial whose recipe is to run again: the first of the `leaders` best that has fewer than `replicates`
    runs. None where such runs, with what its own would take, come to more than `share` of the joules of all
    trials. `busy`: the recipes of the runs that have not ended."""
    ended = [record for record in records if record.role is Role.SEARCH and not record.interrupted]
    if replicates < 2 or not any(record.feasible for record in ended):
        return None
    counts = Counter([*map(key, ended), *busy])
    again = replicated(ended, key)
    left_j = share * _spent_j(ended) - _spent_j([record for record in ended if record.trial in again])
    for one in standings(ended, objectives, key)[:leaders]:
        each_j = _spent_j(one.runs) / len(one.runs)
        if counts[key(one.runs[0])] < replicates and each_j <= left_j:
            return one.runs[0]
    return None


def replicated(records: Sequence[Record], key: KeyOfRun = key_of_run) -> dict[int, int]:
    """The trials that are replicates, each with the first trial of its recipe."""
    first: dict[str, int] = {}
    found = {}
    for record in records:
        if record.role is Role.SEARCH and not record.interrupted:
            trial = first.setdefault(key(record), record.trial)
            if trial != record.trial:
                found[record.trial] = trial
    return found


def longer(record: Record) -> int | None:
    """The length at which a run that missed the target at the end of its schedule would reach it, or None
    where it did not miss so, or that is too far away to be known."""
    steps, missed = record.max_steps, record.outcome is Outcome.OUT_OF_BUDGET
    if not missed or steps is None or record.steps < steps or record.loss_gap is None:
        return None
    return length_for(steps, record.loss_gap, record.metric.per_nat)


def _taken(record: Record, objective: str) -> float:
    """ln of what a run took to the target, or of what one would take that is long enough: twice the whole
    schedule where that is not known. NaN where nothing is known."""
    spent = record.values.get(objective) if record.feasible else record.spent.get(objective)
    if spent is None or not math.isfinite(spent):
        return math.nan
    taken = math.log(spent) if spent > 0 else -math.inf
    if record.feasible:
        return taken
    steps, whole = longer(record), record.max_steps
    if steps is not None and whole:
        return taken + math.log(steps / whole)
    return taken + math.log(max(1.0, (whole or 1) / max(1, record.steps))) + FARTHEST


def _mean(taken: Sequence[float]) -> float:
    known = [one for one in taken if not math.isnan(one)]
    return math.exp(statistics.fmean(known))


def _spent_j(records: Sequence[Record]) -> float:
    return math.fsum(record.gross_energy_j or 0.0 for record in records)
