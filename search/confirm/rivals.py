"""The finished trials that a run may be ended for, and by how much it must be beyond them.

A trial that was measured once may owe its values to a lucky seed, and would then end sturdier ones: it has a
margin. One that ran again counts with its means. One that fresh seeds confirmed has no margin, and counts
with what its recipe takes on average.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.confirm.clauses import VerdictFacts
from search.confirm.evidence import Evidence, gather
from search.confirm.fit import EndLoss
from search.confirm.from_records import confirmed_runs, confirming, end_loss, sets_of_candidates
from search.confirm.intervals import REACH_LEVEL, mean_below
from search.confirm.luck import seed_margin
from search.confirm.replicates import KeyOfRun, key_of_run, recipes
from search.confirm.settings import ConfirmSettings
from search.record.confirmation import arm_of_trial
from search.record.limits import Rival
from search.record.lookup import is_lookup_like, looks_up
from search.record.record import Record
from search.record.target import AUTO


def rival_margin(setting: float | str, records: Sequence[Record]) -> float:
    """`budget.rival_margin` as a share; of `auto`, from the end losses of the runs that fitted and
    confirmed."""
    if setting != AUTO:
        return float(setting)
    return seed_margin(_end_losses(records), records[-1].metric.per_nat if records else 1.0)


def rivals_of(
    config: Mapping[str, Any],
    records: Sequence[Record],
    objectives: Sequence[str],
    target_loss: float,
    margin: float,
    settings: ConfirmSettings,
    key: KeyOfRun = key_of_run,
) -> tuple[Rival, ...]:
    """The finished feasible runs of the search that a run of `config` may be ended for. One whose recipe has
    replicates counts with their means.

    Lookup-like ones end only their like. A front is also shown without them, and a run that they dominate may
    be on it.
    """
    may_look_up = looks_up(config)
    confirmed = confirmed_rivals(records, objectives, target_loss, settings)
    means = {
        record.trial: tuple(standing.means.get(name, value) for name, value in record.values.items())
        for standing in recipes(records, objectives, key)
        if len(standing.runs) > 1
        for record in standing.runs
    }
    return tuple(
        confirmed.get(record.trial)
        or Rival(record.trial, means.get(record.trial, tuple(record.values.values())), margin)
        for record in records
        if record.feasible and not record.role.confirms and (may_look_up or not is_lookup_like(record))
    )


def confirmed_rivals(
    records: Sequence[Record], objectives: Sequence[str], target_loss: float, settings: ConfirmSettings
) -> dict[int, Rival]:
    """By trial: those whose recipe reaches the target by the test of a verdict's reach clause, whatever the
    other clauses say, with the geometric means of what its runs of fixed length took."""
    sets = sets_of_candidates(records)
    n_candidates = len({trial for together in sets for trial in together})
    found: dict[int, Rival] = {}
    for together in sets:
        of_set = confirming(records, together)
        facts = VerdictFacts(target_loss, None, False, of_set[0].meter.kind, n_candidates)
        for trial in together:
            evidence = gather(arm_of_trial(trial), confirmed_runs(of_set), facts, settings)
            values = _means(_that_count(evidence, of_set), objectives) if _reaches(evidence) else None
            if values is not None:
                found[trial] = Rival(trial, values, confirmed_seeds=len(evidence.rounds))
    return found


def _reaches(evidence: Evidence) -> bool:
    if len(evidence.rounds) < evidence.settings.seeds:
        return False
    losses, target_loss = [run.loss for run in evidence.own], evidence.facts.target_loss
    upper = mean_below(losses, target_loss, evidence.level(REACH_LEVEL), evidence.noise).upper
    return upper is not None and upper < target_loss


def _that_count(evidence: Evidence, records: Sequence[Record]) -> Iterator[Record]:
    """The candidate's records of the rounds that count, each by its attempt that does."""
    counts = {(one.number, one.attempt) for one in evidence.rounds}
    for record in records:
        place = record.confirmation
        if record.interrupted or place is None or place.arm != evidence.arm:
            continue
        if (place.round, place.attempt) in counts:
            yield record


def _means(records: Iterator[Record], objectives: Sequence[str]) -> tuple[float, ...] | None:
    """Geometric means over the runs whose energy is known; None where there is none, or one is not above
    0."""
    spent = [record.spent for record in records if record.outcome.completes]
    if not spent or any(one.get(name, 0.0) <= 0 for one in spent for name in objectives):
        return None
    return tuple(statistics.geometric_mean([one[name] for one in spent]) for name in objectives)


def _end_losses(records: Sequence[Record]) -> list[list[EndLoss]]:
    """Of the runs of fixed length, by the trial whose recipe they train. A round that was run again has the
    same losses, which count once."""
    by_recipe: dict[int, dict[tuple[int, int], EndLoss]] = {}
    for record in records:
        place, steps = record.confirmation, record.max_steps
        loss = end_loss(record) if record.role.confirms and not record.interrupted else None
        if place is not None and steps is not None and loss is not None:
            of_recipe = by_recipe.setdefault(place.of_trial, {})
            of_recipe[steps, record.seed] = EndLoss(steps, loss, record.seed)
    return [list(losses.values()) for losses in by_recipe.values()]
