"""Building a study in Optuna's storage again from its records, under the same name."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.record.record import Record
from search.sampling.history import stored
from search.space.model import Space
from search.study import storage
from search.study.recovery import layout


def keep_a_copy(study: optuna.Study, backend: RDBStorage) -> str:
    """Copy the whole study in its storage; returns the copy's name."""
    name = f"{study.study_name} (set aside {datetime.now().isoformat(timespec='seconds')})"
    optuna.copy_study(
        from_study_name=study.study_name,
        from_storage=backend,
        to_storage=backend,
        to_study_name=name,
    )
    return name


def build_again(
    before: optuna.Study, backend: RDBStorage, n_objectives: int, records: Sequence[Record], space: Space
) -> optuna.Study:
    """The study that takes the place of `before`: a trial for each record, under the record's number. Trials
    that wait, failed ones at a number without a record, and people's notes are kept."""
    trials = before.get_trials(deepcopy=False)
    user, system = dict(before.user_attrs), backend.get_study_system_attrs(before._study_id)
    ids_before = {trial.number: trial._trial_id for trial in trials}
    optuna.delete_study(study_name=before.study_name, storage=backend)
    storage.remove_orphans(backend)
    study = storage.open_study(backend, before.study_name, n_objectives)
    for one in layout(records, trials):
        study.add_trial(stored(one, space) if isinstance(one, Record) else _without_record(one))
    for key, value in user.items():
        if key != storage.IDENTITY:
            study.set_user_attr(key, value)
    _restore_system_attrs(study, backend, system, ids_before)
    return study


def _without_record(trial: FrozenTrial | None) -> FrozenTrial:
    """The trial as it was; one that failed before it began is said to have begun when it failed."""
    if trial is None:
        nobody = {"reason": "no run of this number is in records.jsonl"}
        return create_trial(state=TrialState.FAIL, user_attrs=nobody)
    if trial.state.is_finished() and trial.datetime_start is None:
        trial = copy.copy(trial)
        trial.datetime_start = trial.datetime_complete
    return trial


def _restore_system_attrs(
    study: optuna.Study, backend: RDBStorage, attributes: Mapping[str, Any], ids_before: Mapping[int, int]
) -> None:
    """optuna-dashboard keeps notes there, and names their trials by ids, which are new now."""
    new_ids = {
        ids_before[trial.number]: trial._trial_id
        for trial in study.get_trials(deepcopy=False)
        if trial.number in ids_before
    }
    for key, value in attributes.items():
        name = _with_new_id(key, new_ids)
        if name is not None:
            backend.set_study_system_attr(study._study_id, name, value)


def _with_new_id(key: str, new_ids: Mapping[int, int]) -> str | None:
    """The key of a note on a trial under its new id; None where the trial is gone."""
    found = re.fullmatch(r"dashboard:(\d+):(.*)", key)
    if found is None:
        return key
    new = new_ids.get(int(found[1]))
    return None if new is None else f"dashboard:{new}:{found[2]}"
