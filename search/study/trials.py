"""Single trials of a study in Optuna's storage: those that wait, the one that runs, how a run ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from search.record.record import Record
from search.run.request import RunRequest
from search.sampling.ask import FIXED_PARAMS
from search.sampling.history import RUN_ID, state_of, system_attrs, user_attrs, values_of
from search.space.canonical import plain
from search.space.model import Space
from search.study import storage


def trial_of(study: optuna.Study, number: int) -> Trial:
    """A handle on a trial. Raises KeyError where there is none of this number."""
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    return storage.reopen(study, trials[number])


def waiting_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that somebody enqueued, in their order."""
    return study.get_trials(deepcopy=False, states=(TrialState.WAITING,))


def fixed_params(waiting: FrozenTrial) -> Mapping[str, Any]:
    """What an enqueued trial asks for."""
    fixed = waiting.system_attrs.get(FIXED_PARAMS, {})
    return dict(fixed) if isinstance(fixed, Mapping) else {}


def fail_waiting(study: optuna.Study, waiting: FrozenTrial, reason: str) -> None:
    trial = storage.reopen(study, waiting)
    trial.set_user_attr("reason", reason)
    trial.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def new_trial(study: optuna.Study, run: RunRequest | Record, space: Space) -> Trial:
    """A RUNNING trial of this process with the run's parameters."""
    params = dict(run.params)
    template = create_trial(
        state=TrialState.RUNNING,
        params=params,
        distributions=space.distributions(params) if params else {},
        user_attrs=storage.owner() | {RUN_ID: run.run_id},
        system_attrs=dict(run.system_attrs),
    )
    trial_id = study._storage.create_new_trial(study._study_id, template_trial=template)
    return Trial(study, trial_id)


def take_waiting(study: optuna.Study, run: RunRequest | Record, space: Space) -> Trial | None:
    """The enqueued trial that waits for this run, now RUNNING; None where somebody withdrew it."""
    asked = [trial for trial in waiting_trials(study) if _asks_for(trial, run.params)]
    waiting = next((trial for trial in asked if trial.number == run.trial), None)
    if waiting is None:
        return None
    store, trial_id = study._storage, waiting._trial_id
    if not store.set_trial_state_values(trial_id, TrialState.RUNNING):
        return None
    for key, value in (storage.owner() | {RUN_ID: run.run_id}).items():
        store.set_trial_user_attr(trial_id, key, value)
    for path, distribution in space.distributions(run.params).items():
        value = distribution.to_internal_repr(run.params[path])
        store.set_trial_param(trial_id, path, value, distribution)
    for key, value in run.system_attrs.items():
        store.set_trial_system_attr(trial_id, key, value)
    return storage.reopen(study, waiting)


def tell(study: optuna.Study, trial: Trial, record: Record) -> None:
    """COMPLETE with values where the run reached its target, PRUNED or FAIL without where it did not."""
    for key, value in user_attrs(record).items():
        trial.set_user_attr(key, value)
    for key, value in system_attrs(record).items():
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)
    trial.storage.set_trial_state_values(trial._trial_id, state_of(record), values_of(record))


def _asks_for(waiting: FrozenTrial, params: Mapping[str, Any]) -> bool:
    fixed = fixed_params(waiting)
    return all(path in params and plain(params[path]) == plain(value) for path, value in fixed.items())
