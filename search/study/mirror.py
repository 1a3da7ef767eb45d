"""The study in Optuna's storage, which mirrors the records for people and their tools.

Nothing is decided by what it holds, apart from trials that somebody enqueued. So it may be lost, damaged, or
edited by somebody else at any moment: its trials are then told again, or it is built again from the records,
and one line says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from search.errors import UserError
from search.files.paths import shown
from search.record.record import Record
from search.run.request import RunRequest
from search.sampling.enqueued import Enqueued
from search.space.model import Space
from search.study import storage
from search.study.rebuild import build_again, keep_a_copy
from search.study.recovery import RecoveryPlan, recovery_plan, unrecorded
from search.study.trials import (
    fail_waiting,
    fixed_params,
    new_trial,
    take_waiting,
    tell,
    trial_of,
    waiting_trials,
)

# What Optuna and SQLAlchemy raise where a trial or a study was deleted, finished or changed by somebody else,
# or where the database does not answer.
_SURPRISES = (SQLAlchemyError, OptunaError, KeyError, ValueError, RuntimeError)
T = TypeVar("T")


class _Running(NamedTuple):
    """A trial whose run goes on. `trial` is None where the storage lost it meanwhile."""

    number: int
    trial: Trial | None


@dataclass
class Mirror:
    """The study in its storage. `say` gets a line for whatever is put right.

    Where several processes share the study, `others` says whether any other one works on it now,
    `rebuilding` keeps them from building it again at the same time, and `read_records` makes the records
    those of this moment.
    """

    url: str
    folder: Path
    name: str
    objectives: tuple[str, ...]
    identity: Mapping[str, Any]
    space: Space
    say: Callable[[str], None]
    backend: RDBStorage
    study: optuna.Study
    others: Callable[[], bool] = lambda: False
    rebuilding: Callable[[], AbstractContextManager[None]] = nullcontext
    read_records: Callable[[], None] = lambda: None
    _running: dict[str, _Running] = field(default_factory=dict)  # by the name of the run
    _file: tuple[int, int] | None = None
    _postponed: bool = False

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
        found = self.study.user_attrs.get(storage.IDENTITY)
        return found if isinstance(found, Mapping) else None

    def finished(self) -> int:
        """How many trials have values there."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return len(trials)

    def recovery_plan(self, records: Sequence[Record], running: Record | None = None) -> RecoveryPlan:
        """What has to be done, as the storage is now. Nothing is done yet."""
        return self._guarded(records, lambda: self._plan(records, running))

    def reconcile(self, records: Sequence[Record]) -> None:
        """Make the storage agree with the records, as it is now, and leave the trials of runs that go on
        as they are. Raises UserError where it cannot."""
        for last in (False, False, True):  # somebody may change it, or take it away, in between
            try:
                storage.wait_for_server(self.backend, self.say)
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
            return [Enqueued(trial.number, fixed_params(trial)) for trial in waiting_trials(self.study)]

        return self._guarded(records, read)

    def refuse(self, enqueued: Enqueued, reason: str, records: Sequence[Record]) -> None:
        """A trial that cannot be run fails, with the reason for whoever asked."""

        def write() -> None:
            for waiting in waiting_trials(self.study):
                if waiting.number == enqueued.number and fixed_params(waiting) == enqueued.params:
                    fail_waiting(self.study, waiting, reason)

        self._guarded(records, write)

    def begin(
        self, run: RunRequest | Record, records: Sequence[Record], elsewhere: Collection[int] = ()
    ) -> int:
        """A RUNNING trial with the run's parameters; returns its number. `run.trial` is the number of a trial
        that waits for it, if any; `elsewhere` are those that other processes run."""

        def ask() -> int:
            self._check_place()
            trial = take_waiting(self.study, run, self.space) if run.trial >= 0 else None
            trial = trial or new_trial(self.study, run, self.space)
            recorded = {record.trial for record in records}
            if trial.number in recorded and not self.others():
                raise RuntimeError("trials were deleted from it")
            # Of runs whose trials the storage lost.
            while trial.number in self._running_numbers() | recorded | set(elsewhere):
                self.study.tell(trial, state=TrialState.FAIL)
                trial = new_trial(self.study, run, self.space)
            assert trial.params == dict(run.params), "what is told is not what runs"
            self._running[run.run_id] = _Running(trial.number, trial)
            storage.beat(self.backend, trial)
            return trial.number

        return self._guarded(records, ask)

    def beating(self, run_id: str) -> AbstractContextManager[None]:
        """While that run goes on, which has begun."""
        trial = self._running[run_id].trial
        assert trial is not None
        return storage.beating(self.backend, trial)

    def tell(self, record: Record, records: Sequence[Record]) -> None:
        """Tell how a running trial ended. `records` hold it already."""
        running = self._running.pop(record.run_id, None)
        try:
            if running is None or running.trial is None:
                raise KeyError(record.trial)
            self._check_place()
            tell(self.study, running.trial, record)
        except _SURPRISES:
            self.reconcile(records)

    def drop(self, run_id: str) -> None:
        """Somebody else has told how this run ended."""
        self._running.pop(run_id, None)

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
        """Open the storage anew: what was read before may have been deleted, or lie in a file that is
        gone."""
        self.close()
        self.backend = _open_backend(self.url, self.folder, self.say)
        self.study = storage.open_study(self.backend, self.name, len(self.objectives))
        self._file = storage.file_of(self.backend)

    def _set_aside_if_damaged(self, error: Exception) -> None:
        """Only a file of the study's own: others may be anything."""
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
        if self.study.user_attrs.get(storage.IDENTITY) != self.identity:
            raise KeyError(storage.IDENTITY)

    def _abandoned_numbers(self) -> set[int]:
        """The numbers of RUNNING trials whose process has ended, or whose run in this process has."""
        local = storage.is_local(self.backend)
        gone = storage.abandoned(self.study, local and not self.others(), own=True, by_heartbeat=not local)
        numbers = {trial.number for trial in gone}
        return numbers - self._running_numbers()

    def _running_numbers(self) -> set[int]:
        return {one.number for one in self._running.values()}

    def _plan(self, records: Sequence[Record], running: Record | None = None) -> RecoveryPlan:
        abandoned = self._abandoned_numbers()
        trials = self.study.get_trials(deepcopy=False)
        self.read_records()  # a trial that was told in between was recorded before
        elsewhere = self._running_elsewhere(trials, abandoned)
        plan = recovery_plan(records, trials, abandoned, running, elsewhere)
        if self.study.directions != [StudyDirection.MINIMIZE] * len(self.objectives):
            return RecoveryPlan(plan.cut_off, rebuild="the study has other objectives there")
        return plan

    def _running_elsewhere(self, trials: Sequence[FrozenTrial], abandoned: Collection[int]) -> set[int]:
        running = {trial.number for trial in trials if trial.state is TrialState.RUNNING}
        return running - set(abandoned) - self._running_numbers()

    def _carry_out(self, todo: RecoveryPlan, records: Sequence[Record]) -> None:
        if todo.rebuild:
            with self.rebuilding():
                self._reopen()  # another process may have built it by now
                todo = self._plan(records)
                if todo.rebuild:
                    self._rebuild(todo.rebuild, records)
                    return
        for record in todo.tell:
            tell(self.study, trial_of(self.study, record.trial), record)
        for number in todo.fail:
            trial = trial_of(self.study, number)
            trial.set_user_attr("reason", "left running by a process that ended; it has no record")
            self.study.tell(trial, state=TrialState.FAIL)
        self._name()

    def _name(self) -> None:
        if self.study.user_attrs.get(storage.IDENTITY) != self.identity:
            storage.name_objectives(self.study, self.objectives)
            self.study.set_user_attr(storage.IDENTITY, dict(self.identity))

    def _rebuild(self, reason: str, records: Sequence[Record]) -> None:
        trials = self.study.get_trials(deepcopy=False)
        abandoned = self._abandoned_numbers()
        if alive := self._running_elsewhere(trials, abandoned):
            if self.others():
                self._postpone(reason)
                return
            raise UserError(
                f"{self.place}: {reason}, and trial {min(alive)} runs there in another process; wait "
                "for it, or type study.name=OTHER"
            )
        copied = keep_a_copy(self.study, self.backend) if unrecorded(records, trials) else ""
        kept = f"; what it held is kept as study {copied!r}" if copied else ""
        self.study = build_again(self.study, self.backend, len(self.objectives), records, self.space)
        self._running = {name: one._replace(trial=None) for name, one in self._running.items()}
        self._name()
        runs = "the only run" if len(records) == 1 else f"the {len(records)} runs"
        source = f"built again from {runs} of {shown(self.folder / 'records.jsonl')}"
        self.say(f"{self.place}: {reason}; {source if records else 'the study begins anew'}{kept}")

    def _postpone(self, reason: str) -> None:
        if not self._postponed:
            self._postponed = True
            self.say(f"{self.place}: {reason}; it is built again when only one process works on the study")


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
