"""Runs of several slots at once: recorded by one thread, whatever ends them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from records_factory import METER, make_record

from search.config.schema import StudyConfig
from search.errors import Stopped, UserError
from search.files.records import read_records
from search.record.outcome import Role
from search.record.record import Record
from search.run.request import RunRequest
from search.study.exchange.alone import Alone
from search.study.folder import StudyFolder
from search.study.mirror import Mirror
from search.study.progress import Watcher
from search.study.recovery import RecoveryPlan
from search.study.runner import TrialRunner
from search.study.seats import Seat
from search.study.shared import SharedStudy
from search.worker.protocol import WorkerInfo


@dataclass
class PlayedWorker:
    """Says what it is told to, when it is told to."""

    goes_on: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    killed: bool = False
    info: WorkerInfo | None = None

    def start(self) -> WorkerInfo:
        raise AssertionError("nobody asks")

    def run(
        self,
        request: RunRequest,
        on_progress: Callable[[Record], None],
        on_wait: Callable[[str], None],
    ) -> Record:
        on_wait("its turn")
        on_progress(ended(request, steps=7, gross_energy_j=3.5))
        self.began.set()
        assert self.goes_on.wait(20)
        self.goes_on.clear()
        if self.error is not None:
            raise self.error
        return ended(request, steps=400)

    def kill(self) -> None:
        self.killed = True


class NoMirror:
    """A storage that agrees with everything."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.numbers = 0

    def begin(self, run: RunRequest, records: Sequence[Record], elsewhere: Collection[int]) -> int:
        self.numbers += 1
        return self.numbers - 1

    def beating(self, run_id: str) -> AbstractContextManager[None]:
        return nullcontext()

    def tell(self, record: Record, records: Sequence[Record]) -> None:
        assert records[-1] is record
        self.told.append(record.trial)

    def recovery_plan(self, records: Sequence[Record], running: Record | None) -> RecoveryPlan:
        return RecoveryPlan(cut_off=running)

    def reconcile(self, records: Sequence[Record]) -> None:
        pass


class Quiet:
    """A watcher that says nothing, and after so many words raises, as a signal would."""

    def __init__(self) -> None:
        self.words = 0
        self.raises: tuple[int, BaseException] | None = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        def hear(*what: Any) -> None:
            self.words += 1
            if self.raises is not None and self.words == self.raises[0]:
                raise self.raises[1]

        return hear


def request(index: int) -> RunRequest:
    config = StudyConfig()
    return RunRequest(
        study="a study",
        trial=-1,
        run_id="",
        role=Role.SEARCH,
        params={},
        config=config.run_values(),
        target_loss=2.0,
        objectives=("energy_to_target_j",),
        counted_phases=config.counted_phases,
        vocab_size=65,
        index=index,
    )


def ended(request: RunRequest, **changed: Any) -> Record:
    return replace(make_record(request.trial), run_id=request.run_id, index=request.index, **changed)


def runner_of(folder: Path, workers: Sequence[PlayedWorker]) -> TrialRunner:
    mirror, watcher = cast("Mirror", NoMirror()), cast("Watcher", Quiet())
    shared = SharedStudy(StudyFolder(folder), Seat(folder), Alone(), [], mirror, watcher)
    return TrialRunner(shared, workers, METER, watcher)


def kept(folder: Path) -> list[Record]:
    file = folder / "records.jsonl"
    return read_records(file)[0] if file.exists() else []


def test_runs_go_on_side_by_side_and_are_recorded_as_they_end(tmp_path: Path) -> None:
    workers = [PlayedWorker(), PlayedWorker()]
    runner = runner_of(tmp_path, workers)
    for index in range(2):
        assert runner.has_room
        runner.begin(request(index))
    assert not runner.has_room
    assert [one.index for one in runner.running] == [0, 1]
    assert {path.name for path in tmp_path.iterdir()} >= {"running.json", "running-1.json"}
    assert all(worker.began.wait(20) for worker in workers)
    workers[1].goes_on.set()
    assert runner.next_finished().trial == 1
    assert runner.has_room
    runner.begin(request(2))
    workers[0].goes_on.set()
    assert runner.next_finished().trial == 0
    workers[1].goes_on.set()
    assert runner.next_finished().trial == 2
    assert [record.trial for record in kept(tmp_path)] == [1, 0, 2]
    assert not list(tmp_path.glob("running*.json"))


@pytest.mark.parametrize("error", [Stopped("stopped by SIGTERM", 143), UserError("no more"), KeyError("bug")])
def test_whatever_ends_the_loop_ends_all_runs_and_keeps_what_they_spent(
    tmp_path: Path, error: BaseException
) -> None:
    workers = [PlayedWorker(), PlayedWorker(), PlayedWorker()]
    runner = runner_of(tmp_path, workers)
    watcher = cast("Quiet", runner.watcher)
    watcher.raises = (6, error)  # two of each: begin, waiting, progress

    def loop() -> None:
        with runner.ending_all():
            runner.begin(request(0))
            runner.begin(request(1))
            runner.next_finished()

    with pytest.raises(type(error)):
        loop()
    assert [worker.killed for worker in workers] == [True, True, False]
    records = kept(tmp_path)
    assert [(record.trial, record.interrupted, record.gross_energy_j) for record in records] == [
        (0, False, 3.5),
        (1, False, 3.5),
    ]
    assert not runner.running
    assert not list(tmp_path.glob("running*.json"))


def test_an_error_of_one_worker_is_raised_where_events_are_read(tmp_path: Path) -> None:
    workers = [PlayedWorker(error=UserError("it cannot start")), PlayedWorker()]
    runner = runner_of(tmp_path, workers)

    def loop() -> None:
        with runner.ending_all():
            runner.begin(request(0))
            runner.begin(request(1))
            workers[0].goes_on.set()
            runner.next_finished()

    with pytest.raises(UserError, match="it cannot start"):
        loop()
    assert [record.trial for record in kept(tmp_path)] == [0, 1]


def test_after_a_kill_every_run_that_went_on_is_recorded(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, [PlayedWorker(), PlayedWorker()])
    runner.begin(request(0))
    runner.begin(request(1))
    again = runner_of(tmp_path, [PlayedWorker(), PlayedWorker()])
    with again.shared.deciding():
        pass
    assert sorted(record.trial for record in kept(tmp_path)) == [0, 1]
    assert not list(tmp_path.glob("running*.json"))
