"""What Optuna is shown of the records: to its samplers as trials to learn from, to its storage as trials to
look at. Pure.

The two differ in a run that missed its target. A sampler learns most from it as COMPLETE, with what it had
spent and a constraint that it broke. In the storage it is PRUNED without values, since a lower bound beside
results is taken for the best of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.record.objective import CONSTRAINT, known_early
from search.record.outcome import Role
from search.record.record import Record
from search.sampling.forecast import learnt_forecast
from search.sampling.lessons import TEACH, stand_ins_of, with_stand_ins
from search.space.canonical import config_key
from search.space.model import Space

RUN_ID = "run_id"
_CONSTRAINTS = "constraints"


class ShownTrial(FrozenTrial):
    """One that a sampler is shown, and that nobody changes. Optuna's storage copies deeply what it is given;
    of a thousand trials that takes longer than the sampler itself."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> ShownTrial:
        shown = cls.__new__(cls)
        shown.__dict__.update(trial.__dict__)
        return shown

    def __deepcopy__(self, memo: dict[int, Any]) -> ShownTrial:
        return copy(self)


def sampler_history(
    records: Sequence[Record],
    space: Space,
    objectives: Sequence[str],
    teach: str = "as_ended",
    key_of_run: Callable[[Record], str] = lambda record: config_key(record.config),
    trial_of_run: Callable[[Record], FrozenTrial] | None = None,
) -> list[FrozenTrial]:
    """Every configuration and seed once, of the runs whose values can be trusted; a baseline that was run
    again to see the noise teaches nothing new. `teach` is a key of `lessons.TEACH`. `trial_of_run` is
    `drawn_trial` for the space, where somebody keeps what it gives."""
    forecast = cache(lambda: learnt_forecast(records))
    stand_ins = stand_ins_of(records, objectives)
    visited: set[tuple[str, int]] = set()
    history = []
    for record in records:
        run = (key_of_run(record), record.seed)
        needed = objectives if record.feasible else known_early(objectives)
        known = record.outcome.completes and all(name in record.spent for name in needed)
        if not known or run in visited or record.role is Role.TARGET:
            continue
        visited.add(run)
        lesson = TEACH[teach](with_stand_ins(record, stand_ins), objectives, forecast)
        trial = copy(drawn_trial(record, space) if trial_of_run is None else trial_of_run(record))
        trial.values = list(lesson.values)
        trial.system_attrs = dict(record.system_attrs) | constraint_attrs(lesson.gap)
        history.append(trial)
    return history


def drawn_trial(record: Record, space: Space) -> ShownTrial:
    """What a sampler is shown of a run apart from what it teaches: its parameters, and no value yet. Checking
    them against the space is most of the work, and gives the same each time."""
    params, distributions = _drawn(record, space)
    return ShownTrial.of(
        create_trial(state=TrialState.COMPLETE, values=[0.0], params=params, distributions=distributions)
    )


def pending_trial(params: Mapping[str, Any], space: Space) -> FrozenTrial:
    """What a sampler is shown of a run that has not ended."""
    return create_trial(
        state=TrialState.RUNNING,
        params=dict(params),
        distributions=space.distributions(params) if params else {},
    )


def state_of(record: Record) -> TrialState:
    """What the storage calls a run that has ended. One of the confirmation ranks nowhere, so it must not be
    able to win there either."""
    if _ranks(record):
        return TrialState.COMPLETE
    return TrialState.PRUNED if record.outcome.completes else TrialState.FAIL


def values_of(record: Record) -> list[float] | None:
    return [float(value) for value in record.values.values()] if _ranks(record) else None


def _ranks(record: Record) -> bool:
    return record.feasible and not record.role.confirms


def stored(record: Record, space: Space) -> FrozenTrial:
    """The trial that the storage should hold for a record."""
    params, distributions = _drawn(record, space)
    trial = create_trial(
        state=state_of(record),
        values=values_of(record),
        params=params,
        distributions=distributions,
        user_attrs=user_attrs(record),
        system_attrs=system_attrs(record),
    )
    trial.datetime_start = _local(record.started_at) or trial.datetime_start
    trial.datetime_complete = _local(record.ended_at) or trial.datetime_complete
    return trial


def user_attrs(record: Record) -> dict[str, Any]:
    """What a person sees beside a trial. What a run that does not rank has spent is only here: lower bounds,
    where it missed."""
    attributes = {
        RUN_ID: record.run_id,
        "outcome": record.outcome.value,
        "reason": record.reason,
        "role": record.role,
        "meter": f"{record.meter.name} ({record.meter.kind.value})",
        "gross_energy_j": record.gross_energy_j,
        "best_loss": record.best_loss,
        "flags": list(record.flags),
    }
    if record.outcome.completes:
        attributes["loss_gap"] = record.loss_gap
    if record.confirmation is not None:
        attributes["arm"] = record.confirmation.arm
    if record.outcome.completes and not _ranks(record):
        attributes |= {f"spent.{name}": float(value) for name, value in record.spent.items()}
    return attributes


def system_attrs(record: Record) -> dict[str, Any]:
    """What a sampler noted with the proposal, and the constraint of a run that has an end."""
    noted = dict(record.system_attrs)
    return noted if record.loss_gap is None else noted | constraint_attrs(record.loss_gap)


def gap_of(trial: FrozenTrial) -> float:
    """Its loss minus the target; 0 where the history does not say."""
    return float(trial.constraints.get(CONSTRAINT, 0.0))


def constraint_attrs(gap: float) -> dict[str, Any]:
    """Optuna's own constraint, and the key that optuna-dashboard reads."""
    return {f"{_CONSTRAINTS}:{CONSTRAINT}": float(gap), _CONSTRAINTS: [float(gap)]}


def _drawn(record: Record, space: Space) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """A run's parameters with what they were drawn from; neither where they do not lie in the space."""
    params = dict(record.params)
    try:
        distributions = space.distributions(params)
        create_trial(values=[0.0], params=params, distributions=distributions)
    except (KeyError, ValueError):
        return {}, {}
    return params, distributions


def _local(when: str) -> datetime | None:
    """ISO 8601 in UTC -> local time without a zone, as Optuna keeps it."""
    try:
        return datetime.fromisoformat(when).astimezone().replace(tzinfo=None)
    except ValueError:
        return None
