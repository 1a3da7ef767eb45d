"""Optuna's storage as a picture of the records, for people and their tools to look at.

Nothing is decided by what it holds. So it may be killed, lost, broken, or edited by somebody else at any
moment: it is then told again, or built again from the records, and one line says so.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from search.errors import UserError
from search.files.paths import shown
from search.record.record import Record
from search.run.execute import RunRequest
from search.sampling.history import RUN_ID, state_of, stored, system_attrs, user_attrs, values_of
from search.sampling.proposal import FIXED_PARAMS
from search.space.canonical import plain
from search.space.model import Space
from search.study import storage
from search.study.recovery import Plan, cut_off, layout, plan, unrecorded

IDENTITY = "identity"
# What Optuna and SQLAlchemy raise where a trial or a study was deleted, finished or changed by somebody else,
# or where the database does not answer.
_SURPRISES = (SQLAlchemyError, OptunaError, KeyError, ValueError, RuntimeError)
T = TypeVar("T")


@dataclass(frozen=True)
class Enqueued:
    """A trial that somebody asked for with Optuna's own `enqueue_trial`, and that waits."""

    number: int
    params: Mapping[str, Any]


@dataclass
class Mirror:
    """The study in its storage. `say` gets a line for whatever is put right."""

    url: str
    folder: Path
    name: str
    objectives: tuple[str, ...]
    identity: Mapping[str, Any]
    space: Space
    say: Callable[[str], None]
    backend: RDBStorage
    study: optuna.Study
    _running: Trial | None = None
    _file: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._file = storage.file_of(self.backend)

    @staticmethod
    def open(
        url: str,
        folder: Path,
        name: str,
        objectives: Sequence[str],
        identity: Mapping[str, Any],
        space: Space,
        say: Callable[[str], None],
    ) -> Mirror:
        """Open the storage and the study in it; either is made where it is not there. A damaged file is set
        aside. Raises UserError where the storage cannot be had."""
        backend = _open_backend(url, folder, say)
        try:
            study = storage.open_study(backend, name, len(objectives))
        except _SURPRISES as error:
            raise UserError(_trouble(url, folder, "read", error)) from error
        return Mirror(url, folder, name, tuple(objectives), identity, space, say, backend, study)

    @property
    def place(self) -> str:
        return storage.place(self.url, self.folder)

    def known_identity(self) -> Mapping[str, Any] | None:
        """What the study in the storage was begun with, or None where it does not say."""
        found = self.study.user_attrs.get(IDENTITY)
        return found if isinstance(found, Mapping) else None

    def finished(self) -> int:
        """How many trials have values there."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return len(trials)

    def cut_off(self, partial: Record | None, records: Sequence[Record]) -> Record | None:
        """See `recovery.cut_off`."""
        return self._guarded(records, lambda: cut_off(partial, records, self._gone()))

    def reconcile(self, records: Sequence[Record]) -> None:
        """Make the storage agree with the records, as it is now. Nothing runs. Raises UserError where it
        cannot."""
        for last in (False, False, True):  # somebody may change it, or take it away, in between
            try:
                self._reopen()
                self._carry_out(self._plan(records), records)
            except _SURPRISES as error:
                if last:
                    raise UserError(_trouble(self.url, self.folder, "written", error)) from error
                self._set_aside_if_damaged(error)
            else:
                return

    def waiting(self, records: Sequence[Record]) -> list[Enqueued]:
        """The trials that somebody asked for, in their order."""

        def read() -> list[Enqueued]:
            return [Enqueued(trial.number, _fixed_params(trial)) for trial in self._waiting()]

        return self._guarded(records, read)

    def refuse(self, enqueued: Enqueued, reason: str, records: Sequence[Record]) -> None:
        """A trial that cannot be run fails, with the reason for whoever asked."""

        def write() -> None:
            for waiting in self._waiting():
                if waiting.number == enqueued.number and _fixed_params(waiting) == enqueued.params:
                    trial = storage.reopen(self.study, waiting)
                    trial.set_user_attr("reason", reason)
                    trial.storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

        self._guarded(records, write)

    def begin(self, run: RunRequest, records: Sequence[Record]) -> int:
        """A RUNNING trial with the run's parameters; returns its number. `run.trial` is the number of a trial
        that waits for it, if any."""

        def ask() -> int:
            self._check_place()
            trial = self._take_up(run) if run.trial >= 0 else None
            trial = trial or self._new_trial(run)
            if trial.number in {record.trial for record in records}:
                raise RuntimeError("trials were deleted from it")
            held = trial.storage.get_trial(trial._trial_id)
            assert held.params == dict(run.params), "what is told is not what runs"
            self._running = trial
            storage.beat(self.backend, trial)
            return trial.number

        return self._guarded(records, ask)

    def beating(self) -> AbstractContextManager[None]:
        assert self._running is not None
        return storage.beating(self.backend, self._running)

    def tell(self, record: Record, records: Sequence[Record]) -> None:
        """Tell how the running trial ended. `records` hold it already."""
        trial, self._running = self._running, None

        def write() -> None:
            if trial is not None:
                self._check_place()
                _tell(self.study, trial, record)

        try:
            write()
        except _SURPRISES:
            self.reconcile(records)

    # ---- putting it right

    def _guarded(self, records: Sequence[Record], attempt: Callable[[], T]) -> T:
        """Try; where the storage is not what it was, put it right and try once more."""
        try:
            return attempt()
        except _SURPRISES:
            self.reconcile(records)
        try:
            return attempt()
        except (SQLAlchemyError, OptunaError) as error:
            raise UserError(_trouble(self.url, self.folder, "written", error)) from error

    def _reopen(self) -> None:
        """A fresh look: what was read before may have been deleted, or lie in a file that is no more."""
        self.close()
        self.backend = _open_backend(self.url, self.folder, self.say)
        self.study = storage.open_study(self.backend, self.name, len(self.objectives))
        self._file = storage.file_of(self.backend)

    def _set_aside_if_damaged(self, error: Exception) -> None:
        """A file of the study's own, that is; others may be anything."""
        path = self.folder / "study.db"
        if self.url == "auto" and storage.is_damaged(error) and path.is_file():
            self.close()
            _say_set_aside(path, storage.what_is_wrong(error, self.url), self.say)

    def close(self) -> None:
        self.backend.remove_session()
        self.backend.engine.dispose()

    def _check_place(self) -> None:
        """Raises KeyError where the study or its file was renamed, deleted or replaced."""
        if storage.file_of(self.backend) != self._file:
            raise KeyError(self.place)
        if self.backend.get_study_id_from_name(self.name) != self.study._study_id:
            raise KeyError(self.name)
        if self.study.user_attrs.get(IDENTITY) != self.identity:
            raise KeyError(IDENTITY)

    def _gone(self) -> list[FrozenTrial]:
        return storage.abandoned(self.study, local=storage.is_local(self.backend), own=True)

    def _plan(self, records: Sequence[Record]) -> Plan:
        gone = {trial.number for trial in self._gone()}
        found = plan(records, self.study.get_trials(deepcopy=False), gone)
        if self.study.directions != [StudyDirection.MINIMIZE] * len(self.objectives):
            return Plan(rebuild="the study has other objectives there")
        return found

    def _carry_out(self, todo: Plan, records: Sequence[Record]) -> None:
        if todo.rebuild:
            self._rebuild(todo.rebuild, records)
            return
        for record in todo.tell:
            _tell(self.study, self._trial(record.trial), record)
        for number in todo.fail:
            trial = self._trial(number)
            trial.set_user_attr("reason", "left running by a process that ended; it has no record")
            self.study.tell(trial, state=TrialState.FAIL)
        self._name()

    def _name(self) -> None:
        if self.study.user_attrs.get(IDENTITY) != self.identity:
            storage.name_objectives(self.study, self.objectives)
            self.study.set_user_attr(IDENTITY, dict(self.identity))

    def _rebuild(self, reason: str, records: Sequence[Record]) -> None:
        """Build the study anew from the records, under its name. Trials that no record knows are kept in a
        study beside it; notes, and trials that wait, are taken along."""
        before = self.study
        trials = before.get_trials(deepcopy=False)
        alive = [t for t in trials if t.state is TrialState.RUNNING and t.number not in self._gone_numbers()]
        if alive:
            raise UserError(
                f"{self.place}: {reason}, and trial {alive[0].number} runs there in another process; wait "
                "for it, or type study.name=OTHER"
            )
        beside = self._keep_beside(before) if unrecorded(records, trials) else ""
        attributes = dict(before.user_attrs), self.backend.get_study_system_attrs(before._study_id)
        ids = {trial.number: trial._trial_id for trial in trials}
        optuna.delete_study(study_name=self.name, storage=self.backend)
        storage.remove_orphans(self.backend)
        self.study = storage.open_study(self.backend, self.name, len(self.objectives))
        for one in layout(records, trials):
            self.study.add_trial(stored(one, self.space) if isinstance(one, Record) else _dated(one))
        self._restore(*attributes, ids)
        kept = f"; what it held is kept as study {beside!r}" if beside else ""
        runs = "the only run" if len(records) == 1 else f"the {len(records)} runs"
        source = f"built again from {runs} of {shown(self.folder / 'records.jsonl')}"
        self.say(f"{self.place}: {reason}; {source if records else 'the study begins anew'}{kept}")

    def _gone_numbers(self) -> set[int]:
        return {trial.number for trial in self._gone()}

    def _keep_beside(self, study: optuna.Study) -> str:
        name = f"{self.name} (set aside {datetime.now().isoformat(timespec='seconds')})"
        optuna.copy_study(
            from_study_name=study.study_name,
            from_storage=self.backend,
            to_storage=self.backend,
            to_study_name=name,
        )
        return name

    def _restore(
        self, user: Mapping[str, Any], system: Mapping[str, Any], ids_before: Mapping[int, int]
    ) -> None:
        """Attributes of the study; optuna-dashboard's notes name trials by ids, which are new now."""
        ids = {
            ids_before[trial.number]: trial._trial_id
            for trial in self.study.get_trials(deepcopy=False)
            if trial.number in ids_before
        }
        for key, value in user.items():
            if key != IDENTITY:
                self.study.set_user_attr(key, value)
        for key, value in system.items():
            name = _with_new_id(key, ids)
            if name is not None:
                self.backend.set_study_system_attr(self.study._study_id, name, value)
        self._name()

    # ---- single trials

    def _trial(self, number: int) -> Trial:
        trials = {trial.number: trial for trial in self.study.get_trials(deepcopy=False)}
        return storage.reopen(self.study, trials[number])

    def _waiting(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))

    def _new_trial(self, run: RunRequest) -> Trial:
        params = dict(run.params)
        template = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=self.space.distributions(params) if params else {},
            user_attrs=storage.owner() | {RUN_ID: run.run_id},
            system_attrs=dict(run.system_attrs),
        )
        number = self.study._storage.create_new_trial(self.study._study_id, template_trial=template)
        return Trial(self.study, number)

    def _take_up(self, run: RunRequest) -> Trial | None:
        """The trial that waits for this run, as our own; None where somebody withdrew it meanwhile."""
        asked = [trial for trial in self._waiting() if _asks_for(trial, run.params)]
        waiting = next((trial for trial in asked if trial.number == run.trial), None)
        if waiting is None:
            return None
        store, trial_id = self.study._storage, waiting._trial_id
        if not store.set_trial_state_values(trial_id, TrialState.RUNNING):
            return None
        for key, value in (storage.owner() | {RUN_ID: run.run_id}).items():
            store.set_trial_user_attr(trial_id, key, value)
        for path, distribution in self.space.distributions(run.params).items():
            value = distribution.to_internal_repr(run.params[path])
            store.set_trial_param(trial_id, path, value, distribution)
        for key, value in run.system_attrs.items():
            store.set_trial_system_attr(trial_id, key, value)
        return storage.reopen(self.study, waiting)


def _tell(study: optuna.Study, trial: Trial, record: Record) -> None:
    """COMPLETE with values where the run reached its target, PRUNED or FAIL without where it did not."""
    for key, value in user_attrs(record).items():
        trial.set_user_attr(key, value)
    for key, value in system_attrs(record).items():
        trial.storage.set_trial_system_attr(trial._trial_id, key, value)
    study.tell(trial, values_of(record), state=state_of(record))


def _open_backend(url: str, folder: Path, say: Callable[[str], None]) -> RDBStorage:
    try:
        return storage.open_storage(url, folder)
    except storage.CorruptDatabase as error:
        if url != "auto" and not _is_sqlite(error.path):  # any file may have been named by mistake
            raise
        _say_set_aside(error.path, error.detail, say)
    return storage.open_storage(url, folder)


def _say_set_aside(path: Path, detail: str, say: Callable[[str], None]) -> None:
    aside = storage.set_aside(path)
    say(f"{shown(path)} is damaged ({detail}); it was set aside as {shown(aside)}")


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


def _trouble(url: str, folder: Path, verb: str, error: Exception) -> str:
    detail = storage.what_is_wrong(error, url)
    return f"the storage {storage.place(url, folder)} cannot be {verb}: {detail}"


def _fixed_params(trial: FrozenTrial) -> Mapping[str, Any]:
    fixed = trial.system_attrs.get(FIXED_PARAMS, {})
    return dict(fixed) if isinstance(fixed, Mapping) else {}


def _asks_for(waiting: FrozenTrial, params: Mapping[str, Any]) -> bool:
    fixed = _fixed_params(waiting)
    return all(path in params and plain(params[path]) == plain(value) for path, value in fixed.items())


def _dated(trial: FrozenTrial | None) -> FrozenTrial:
    """A trial without a record, as it was; one that failed before it began began when it failed."""
    if trial is None:
        nobody = {"reason": "no run of this number is in records.jsonl"}
        return create_trial(state=TrialState.FAIL, user_attrs=nobody)
    if trial.state.is_finished() and trial.datetime_start is None:
        trial = copy.copy(trial)
        trial.datetime_start = trial.datetime_complete
    return trial


def _with_new_id(key: str, ids: Mapping[int, int]) -> str | None:
    """The key of a note on a trial under its new id; None where the trial is no more."""
    found = re.fullmatch(r"dashboard:(\d+):(.*)", key)
    if found is None:
        return key
    new = ids.get(int(found[1]))
    return None if new is None else f"dashboard:{new}:{found[2]}"
