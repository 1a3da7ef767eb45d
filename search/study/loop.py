"""A study from its first trial to its report: decide, run, record, tell; and continue one that was killed.

`next_run` decides, `TrialRunner` runs and records, `recovery` says how records, storage and `running.json`
agree again after a kill. This file opens what they need, and prints nothing by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from model.data.ngram import NgramLoss
from model.runnable import absent
from search.config.checks import check_study
from search.config.devices import with_devices
from search.config.schema import NO_LAUNCHER, StudyConfig
from search.confirm.state import ConfirmationState
from search.confirm.verdict import VerdictKind
from search.errors import COSTS, INTERRUPTED, NO_RESULT, TIE, UNPROVEN, Stopped, UserError
from search.files.own_folder import OwnFolder
from search.files.paths import cache_dir, study_dir
from search.files.prior import check_kind, keep_prior, kept_prior, read_prior
from search.files.whole_file import FileError, check_folder, naming
from search.record.outcome import Role
from search.record.prospect import prospect
from search.record.record import Record
from search.record.stratum import stratum_of
from search.record.target import target_of
from search.report.write import write_reports
from search.sampling.proposal import nothing_runs
from search.space.model import Space
from search.space.offer import offered, slow_here
from search.space.reach import check_reach, most_processes
from search.study import storage
from search.study.budget import search_limit_j, spent_j, spent_s
from search.study.exchange import TooLate, is_shared
from search.study.first import first_recipes
from search.study.folder import StudyFolder
from search.study.identity import held_out_of
from search.study.next_run import (
    NextRun,
    NoMoreTrials,
    NoResult,
    Running,
    next_run,
    why_it_ends,
)
from search.study.opening import open_study, shown_config
from search.study.problem import Problem, load_problem
from search.study.progress import Watcher
from search.study.runner import TrialRunner
from search.study.search_settings import SearchSettings
from search.study.seats import seated
from search.study.signals import StopRequest
from search.study.teaching import teaching_trials
from search.worker.crew import Crew, crew_of
from search.worker.handle import check_device
from search.worker.locks import exclusive, holder_of
from search.worker.protocol import WorkerInfo, WorkerSetup

# How often a process that has nothing to do looks at what the others do.
LOOK_EVERY_S = 1.0


def run_study(config: StudyConfig, watcher: Watcher, only_confirm: bool = False) -> int:
    """Run a study, or continue it; returns the exit status. `only_confirm`: it tries nothing new.

    Raises what `errors.ONE_LINE` lists, before anything is created where the settings are at fault.
    """
    space = check_study(config)
    config = with_devices(config)
    folder = StudyFolder(study_dir(config.study.name, config.reports))
    check_folder(folder.path)
    records = folder.read_records()  # a file that holds something else is found before a worker starts
    prior = read_prior(config.study.prior, folder.path)
    first = () if only_confirm else first_recipes(config)
    if config.launcher.name == NO_LAUNCHER:
        check_device(config.device)
    with naming(cache_dir(), "used"):
        problem = load_problem(config, watcher.loading, held_out_of(records, folder.read_identity()))
    check_reach(space, problem.corpus)
    target_loss = target_of(config.target, config.target_margin, records)
    watcher.problem(problem.corpus, problem.ngram, target_loss, problem.validation_tokens)
    stop = StopRequest(on_request=watcher.stopping)
    if config.storage != "auto":  # a wrong URL is found before anything is created
        _try_storage(config.storage, folder.path)
    with _temporary_folder() as temporary:
        setup = WorkerSetup.of(config, problem.corpus.sha256, problem.corpus.held_out)
        setup = replace(setup, processes=most_processes(space))
        with crew_of(config, setup, Path(temporary), watcher.note, only_confirm) as crew:
            info = crew.info
            check_kind(prior, info.meter.kind)
            if missing := absent(config.run_config(), info.capabilities):
                raise UserError(missing)
            space, left_out = offered(space, info.capabilities)
            watcher.ready(info, left_out, slow_here(space, info.capabilities))
            settings = replace(_search_settings(config, space, problem, info, only_confirm), first=first)
            for recipe in settings.first:
                if reason := settings.why_not(recipe.values):
                    watcher.note(f"study.first: {recipe.name} cannot be trained here: {reason}")
            if reason := nothing_runs(space, settings.why_not, settings.key_of):
                raise UserError(reason)
            with _holding(crew, config, watcher):
                folder.make()
                database = storage.sqlite_file(config.storage, folder.path)
                with seated(folder.path, config.study.name, database) as seat:
                    with seat.deciding(lambda what: watcher.waiting(None, what)):
                        shared = open_study(folder, seat, settings, problem, info, watcher)
                    runner = TrialRunner(shared, crew.workers, info.meter, watcher)
                    lessons = teaching_trials(
                        folder.path, prior, settings, info.meter.kind.value, watcher.note
                    )
                    settings = replace(settings, prior=lessons)
                    keep_prior(folder.path, prior)
                    stop.listen()
                    return _run_and_report(runner, settings, problem.ngram, stop)


def _holding(crew: Crew, config: StudyConfig, watcher: Watcher) -> AbstractContextManager[None]:
    """Where several slots share the CPU, keep other studies from it as long as this one runs. A single slot
    holds its device for each run."""
    holder = holder_of(config.study.name)
    return exclusive(crew.holds, holder, config.device.wait, lambda what: watcher.waiting(None, what))


def _try_storage(url: str, folder: Path) -> None:
    with suppress(storage.CorruptDatabase):  # which is set aside, or refused, when the study is opened
        storage.open_storage(url, folder).engine.dispose()


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with naming(Path(os.environ.get("TMPDIR", "/tmp")), "written into"):
        folder = OwnFolder.make("joulesearch-scratch-")
    try:
        yield folder.path
    finally:
        folder.remove()


def _search_settings(
    config: StudyConfig, space: Space, problem: Problem, info: WorkerInfo, only_confirm: bool
) -> SearchSettings:
    device_type = info.capabilities.device_type
    return SearchSettings(
        config=config,
        space=space,
        vocab_size=problem.corpus.vocab_size,
        why_not=lambda values: problem.why_not(values, device_type),
        provenance=problem.provenance(info.hardware, info.software),
        only_confirm=only_confirm,
        stratum=stratum_of({"hardware": info.hardware}, info.meter) if is_shared(config.storage) else None,
    )


def _run_and_report(
    runner: TrialRunner, settings: SearchSettings, ngram: NgramLoss, stop: StopRequest
) -> int:
    """Recover, run what is left, report. The exit status: 0, 1 without a result, or what stopped it."""
    shared, watcher = runner.shared, runner.watcher
    folder, records = shared.folder, shared.records
    try:
        shared.exchange.start_renewing()
        with shared.deciding():
            shared.give_records()
            runner.mirror.reconcile(records)
        ours = settings.own(records)
        with watcher.watching(ours), runner.ending_all():
            _run_all(runner, settings, len(ours), ngram, stop)
        with naming(folder.path, "written into"):
            config = shown_config(settings.config)
            prior = tuple(kept_prior(folder.path).values())
            page, view = write_reports(folder.path, records, config, prior, settings.stratum)
        watcher.report(folder.path, page, view)
        with shared.deciding():
            runner.mirror.reconcile(records)
    except Stopped as stopped:
        watcher.stopped_now(folder.path)
        return stopped.status
    except FileError as error:
        raise UserError(f"{error}; {folder.what_is_safe(len(records))}") from error
    finally:
        runner.close()
        shared.exchange.close()
        runner.mirror.close()
    if stop.requested:
        return INTERRUPTED
    if settings.only_confirm:
        return verdict_status(view.confirmation)
    return 0 if any(record.feasible for record in settings.own(records)) else NO_RESULT


def verdict_status(state: ConfirmationState | None) -> int:
    """The exit status of a confirmation: 0 only where the leading candidate saves."""
    verdict = None if state is None else state.verdict
    if verdict is None:
        return UNPROVEN
    return {VerdictKind.SAVES: 0, VerdictKind.TIE: TIE, VerdictKind.COSTS: COSTS}.get(verdict.kind, UNPROVEN)


def _run_all(
    runner: TrialRunner, settings: SearchSettings, found_before: int, ngram: NgramLoss, stop: StopRequest
) -> None:
    """Decide and run, until nothing is left to do, nothing may follow, or a stop was requested. While other
    processes run what has to end first, wait for them: one of them may die, and leave its trial to this."""
    watcher = runner.watcher
    said = _Said()
    while True:
        waits = _begin_what_may_run(runner, settings, stop, said)
        if not runner.running:
            if not waits:
                return
            watcher.waiting(None, "runs of the study's other processes")
            time.sleep(LOOK_EVERY_S)
            continue
        record = runner.next_finished(LOOK_EVERY_S if waits and runner.shared.elsewhere else None)
        if record is None:
            continue
        records = settings.own(runner.records)
        if end := why_it_ends(record, records, found_before, settings):
            _say_no_result(end, record, watcher)
            return
        target_loss = settings.target_loss(records)
        if record.role is Role.TARGET and not record.interrupted and target_loss is not None:
            watcher.found_target(target_loss, record.curve[-1].loss, ngram)


@dataclass
class _Said:
    """What a person was told already."""

    no_more_trials: NoMoreTrials | None = None
    warnings: set[str] = field(default_factory=set)


def _begin_what_may_run(
    runner: TrialRunner, settings: SearchSettings, stop: StopRequest, said: _Said
) -> bool:
    """Fill the slots that are free. True where one stays free only until a run has ended."""
    while runner.has_room and not stop.requested:
        try:
            decided = _begin_next(runner, settings)
        except TooLate:
            continue
        for warning in set(decided.warnings) - said.warnings:
            runner.watcher.note(f"the sampler warns: {warning}")
        said.warnings |= set(decided.warnings)
        if decided.no_more_trials is not said.no_more_trials:
            said.no_more_trials = decided.no_more_trials
            _say_no_more_trials(decided.no_more_trials, runner, settings)
        if decided.confirms_on is not None:
            runner.watcher.confirms_elsewhere(decided.confirms_on)
        if decided.request is None:
            return decided.waits
    return False


def _begin_next(runner: TrialRunner, settings: SearchSettings) -> NextRun:
    """Decide, and begin what was decided on. Raises TooLate where another process decided meanwhile."""
    shared = runner.shared
    with shared.deciding():
        waiting = shared.mirror.waiting(shared.records)
        running: list[Running] = [*runner.running, *filter(settings.is_own, shared.elsewhere)]
        decided = next_run(settings.own(shared.records), waiting, settings, running)
        _refuse(decided, runner)
        if decided.request is not None:
            runner.begin(decided.request)
    return decided


def _refuse(decided: NextRun, runner: TrialRunner) -> None:
    for refusal in decided.refusals:
        runner.mirror.refuse(refusal.enqueued, refusal.reason, runner.records)
        runner.watcher.note(f"the enqueued trial {refusal.enqueued.number} is refused: {refusal.reason}")


def _say_no_more_trials(why: NoMoreTrials | None, runner: TrialRunner, settings: SearchSettings) -> None:
    records = settings.own(runner.records)
    limit_j = search_limit_j(records, settings.config)
    if why is NoMoreTrials.BUDGET_SPENT and limit_j is not None:
        runner.watcher.budget_spent(spent_j(records), limit_j, runner.meter.kind)
    elif why is NoMoreTrials.TIME_SPENT:
        runner.watcher.time_spent(spent_s(records), settings.config.budget.study_time_s or 0.0)
    elif why is NoMoreTrials.NOT_WORTH:
        runner.watcher.not_worth(prospect(records), runner.meter.kind)
    elif why is NoMoreTrials.SPACE_EXHAUSTED:
        runner.watcher.exhausted()


def _say_no_result(end: NoResult, record: Record, watcher: Watcher) -> None:
    if end is NoResult.BASELINE_FAILED:
        watcher.baseline_failed(record)
    elif end is NoResult.TARGET_NOT_FOUND:
        watcher.no_target(record)
