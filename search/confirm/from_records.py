"""What a study's records say to its confirmation: the recipes, the losses that fit their lengths, and the
runs of fixed length beside the baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.confirm.fit import EndLoss
from search.confirm.replicates import KeyOfRun, key_of_run, standings
from search.confirm.rounds import ConfirmedRun
from search.record.confirmation import DOCUMENTED, Purpose, arm_of_trial
from search.record.flags import LOAD_FLAGS
from search.record.lookup import is_lookup_like
from search.record.outcome import Outcome, Role
from search.record.record import Record


@dataclass(frozen=True)
class Recipe:
    """A configuration that is confirmed: `arm` is its name, `of_trial` the trial that it comes from, `config`
    what that trial ran."""

    arm: str
    of_trial: int
    config: Mapping[str, Any]
    looks_up: bool

    @property
    def steps(self) -> int:
        """Of the schedule that the trial had."""
        return int(self.config["train"]["max_steps"])


def baseline_recipe(records: Sequence[Record]) -> Recipe | None:
    """The baseline as it is documented, None where no run of it has completed."""
    runs = (record for record in records if record.role is Role.BASELINE and record.outcome.completes)
    return next((_recipe(record, DOCUMENTED) for record in runs), None)


def candidates(
    records: Sequence[Record], objectives: Sequence[str], most: int, key: KeyOfRun = key_of_run
) -> tuple[Recipe, ...]:
    """The `most` best recipes, by the first objective, on average over the runs that each has. Where all of
    them are lookup-like, the best that is not takes the last one's place."""
    ranked = [one.shown for one in standings(records, objectives, key)]
    best = ranked[:most]
    others = [record for record in ranked if not is_lookup_like(record)]
    if len(best) > 1 and others and all(map(is_lookup_like, best)):
        best[-1] = others[0]
    return tuple(_recipe(record, arm_of_trial(record.trial)) for record in best)


def sets_of_candidates(records: Sequence[Record]) -> list[tuple[int, ...]]:
    """The sets of trials that have run beside the baseline for a verdict, in their order."""
    places = (record.confirmation for record in records if record.role is Role.CONFIRM)
    verdicts = (place for place in places if place is not None and place.purpose is Purpose.CONFIRM)
    return list(dict.fromkeys(place.candidates for place in verdicts))


def end_losses(records: Sequence[Record], arm: str) -> tuple[EndLoss, ...]:
    """The losses at the end of the schedule, of the runs that fit the length of `arm`."""
    return tuple(
        EndLoss(int(record.config["train"]["max_steps"]), loss, record.seed)
        for record in fits_of(records, arm)
        if (loss := end_loss(record)) is not None
    )


def fits_of(records: Sequence[Record], arm: str) -> list[Record]:
    """The runs that fit the length of `arm`, those that were cut off left out."""
    return [
        record
        for record in records
        if record.role is Role.FIT
        and not record.interrupted
        and record.confirmation is not None
        and record.confirmation.arm == arm
    ]


def end_loss(record: Record) -> float | None:
    """The validation loss at the last step of the schedule: inf where the run diverged, None where it did not
    come to its end."""
    if record.outcome is Outcome.DIVERGED:
        return math.inf
    last = record.curve[-1] if record.curve else None
    return None if last is None or last.step != record.max_steps else last.loss


def confirming(records: Sequence[Record], together: Sequence[int]) -> list[Record]:
    """The runs beside the baseline of the confirmation in which these trials are the candidates."""
    return [
        record
        for record in records
        if record.role is Role.CONFIRM
        and record.confirmation is not None
        and record.confirmation.candidates == tuple(together)
        and record.confirmation.purpose is Purpose.CONFIRM
    ]


def ablating(records: Sequence[Record], trial: int) -> list[Record]:
    """The runs of the ablation of `trial`: those that fit lengths, and those beside the baseline."""
    return [
        record for record in records if record.confirmation is not None and record.confirmation.ablates(trial)
    ]


def confirmed_runs(records: Sequence[Record]) -> tuple[ConfirmedRun, ...]:
    """Of runs beside the baseline, those that were not cut off. One that came to no end misses the target."""
    return tuple(_confirmed_run(record) for record in records if not record.interrupted)


def _recipe(record: Record, arm: str) -> Recipe:
    return Recipe(arm, record.trial, record.config, is_lookup_like(record))


def _confirmed_run(record: Record) -> ConfirmedRun:
    assert record.confirmation is not None
    place, loss = record.confirmation, end_loss(record)
    came_to_its_end = loss is not None and math.isfinite(loss)
    return ConfirmedRun(
        arm=place.arm,
        round=place.round,
        attempt=place.attempt,
        seed=record.seed,
        loss=math.inf if loss is None else loss,
        test_loss=record.test_loss,
        energy_j=record.counted_energy_j if came_to_its_end else None,
        time_s=record.counted_time_s if came_to_its_end else None,
        load_flags=frozenset(record.flags) & LOAD_FLAGS,
        flags=tuple(record.flags),
        measured=record.outcome.completes,
        inference_j_per_token=None if record.inference is None else record.inference.energy_j_per_token,
    )
