"""A study from its first trial to its report: ask, run, record, tell; and going on where one was killed.

The order of things is what makes nothing get lost: a result is fsynced to `records.jsonl` before Optuna is
told, and a run leaves its latest state in `running.json` while it goes. On start the three are brought into
agreement.
"""

from __future__ import annotations

import json
import signal
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import optuna
import yaml
from filelock import FileLock, Timeout
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from model.data import Corpus, cached_best_ngram, load
from model.data.download import OnProgress, silent
from model.data.ngram import NgramLoss
from search import provenance, storage
from search.canonical import config_key
from search.config import StudyConfig, check_study, differences
from search.errors import UserError
from search.files import write_atomically
from search.lookup import rivals_of
from search.paths import cache_dir, shown, study_dir
from search.progress import Watcher
from search.proposal import Proposal, derived_seed, propose, suggest_with
from search.records import append_record, read_records
from search.report.page import write_report
from search.run import RunRequest, unmetered_record
from search.space import Space, offered
from search.trial import Record
from search.worker import Hello, StationSetup, Worker

RECORDS = "records.jsonl"
RUNNING = "running.json"
# A configuration whose run was interrupted is tried this often in all.
MAX_ATTEMPTS = 3
# The part of a seed that sets runs apart from proposals.
SEED_OF_RUN = 1_000_000
NO_NUMBER = -1
KILLED = "the study's process was killed during this run"


class StopNow(Exception):
    """A second Ctrl-C, or SIGTERM: end at once."""


@dataclass
class Stop:
    """Ctrl-C once lets the running trial finish; twice, or SIGTERM, ends it."""

    requested: bool = False
    on_request: Callable[[], None] = lambda: None

    def install(self) -> None:
        signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._terminate)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise StopNow("stopped")
        self.requested = True
        self.on_request()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        raise StopNow("stopped by SIGTERM")


@dataclass(frozen=True)
class Problem:
    """The data of a study, and how well counting predicts it."""

    corpus: Corpus
    ngram: NgramLoss
    validation_tokens: int


def load_problem(config: StudyConfig, on_progress: OnProgress = silent) -> Problem:
    """Raises DataError or ConfigError where the text cannot be had or is too short for the evaluation."""
    corpus = load(config.data, cache_dir(), on_progress)
    context = config.evaluation.context
    if context % corpus.record_tokens:
        raise UserError(
            f"evaluation.context={context} must be a multiple of {corpus.record_tokens}, the length of a "
            f"record of data={corpus.name}; type evaluation.context={corpus.record_tokens}"
        )
    available = len(corpus.validation) - 1
    wanted = config.evaluation.tokens or available
    tokens = wanted // context * context
    if tokens > available or tokens < 2 * context:
        raise UserError(
            f"evaluation.tokens={config.evaluation.tokens} asks for {wanted} validation tokens and the data "
            f"has {available}; type evaluation.tokens=null for all of them, or give a longer text"
        )
    return Problem(corpus, cached_best_ngram(corpus, tokens, cache_dir()), tokens)


@dataclass
class Session:
    """One sitting at a study: everything that the loop needs, opened."""

    config: StudyConfig
    space: Space
    folder: Path
    problem: Problem
    hello: Hello
    worker: Worker
    backend: RDBStorage
    study: optuna.Study
    provenance: Mapping[str, Any]
    watcher: Watcher
    stop: Stop
    records: list[Record] = field(default_factory=list)

    def baseline_done(self) -> bool:
        return any(record.role == "baseline" and record.outcome.completes for record in self.records)

    def spent_j(self) -> float:
        return sum(record.gross_energy_j or 0.0 for record in self.records)


def run_study(config: StudyConfig, watcher: Watcher) -> int:
    """Run or go on with a study; returns the exit status.

    Raises what `compose.ONE_LINE` lists, before anything is created where the settings are at fault.
    """
    space = check_study(config)
    folder = study_dir(config.study.name)
    problem = load_problem(config, watcher.loading)
    watcher.problem(problem.corpus, problem.ngram, config.target_loss, problem.validation_tokens)
    stop = Stop(on_request=watcher.stopping)
    if config.storage != "auto":  # a wrong URL is found before anything is created
        storage.open_storage(config.storage, folder).engine.dispose()
    with tempfile.TemporaryDirectory(prefix="joulesearch-") as scratch:
        log = Path(scratch) / "worker.log"
        worker = Worker(_station_setup(config, problem), log, config.budget.hang_s)
        try:
            hello = worker.start()
            space, left_out = offered(space, hello.capabilities)
            watcher.ready(hello, left_out)
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder, config.study.name):
                session = _open(config, space, folder, problem, hello, worker, watcher, stop)
                stop.install()
                return _sit(session)
        finally:
            worker.kill()


def _station_setup(config: StudyConfig, problem: Problem) -> StationSetup:
    data = asdict(config.data)
    if config.data.path is not None:
        data["path"] = str(Path(config.data.path).expanduser().absolute())
    return StationSetup(
        study=config.study.name,
        data=data,
        data_sha256=problem.corpus.sha256,
        device=asdict(config.device),
        meter=asdict(config.meter),
        cache_dir=str(cache_dir()),
    )


def _alone(folder: Path, name: str) -> AbstractContextManager[object]:
    """Hold the study's folder; the kernel lets go when this process dies.

    Raises UserError where another process holds it.
    """
    try:
        return FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"study {name!r} is running in another process; wait for it, or type study.name=OTHER"
        ) from error


def identity(config: StudyConfig, space: Space, problem: Problem, hello: Hello) -> dict[str, Any]:
    """What must not change when a study goes on: with another of these its numbers would not compare."""
    return {
        "target_loss": config.target_loss,
        "space": space.describe(),
        "baseline": {key: value for key, value in config.run_values().items() if key != "seed"},
        "objectives": list(config.objective.names),
        "study_seed": config.study.seed,
        "sampler": asdict(config.sampler),
        "data_sha256": problem.corpus.sha256,
        "tokenizer": problem.corpus.tokenizer,
        "validation_tokens": problem.validation_tokens,
        "meter": {
            "name": hello.meter.name,
            "counted_phases": hello.meter.counted_phases.value,
            "settings": dict(hello.meter.settings),
        },
        "device": {"uuid": hello.hardware["device_uuid"], "name": hello.hardware["device"]},
        "threads": config.device.threads,
    }


def _open(
    config: StudyConfig,
    space: Space,
    folder: Path,
    problem: Problem,
    hello: Hello,
    worker: Worker,
    watcher: Watcher,
    stop: Stop,
) -> Session:
    backend = storage.open_storage(config.storage, folder)
    study = storage.open_study(backend, config.study.name, len(config.objective.names))
    ours = json.loads(json.dumps(identity(config, space, problem, hello)))
    theirs = study.user_attrs.get("identity")
    if theirs is None:
        storage.name_objectives(study, config.objective.names)
        study.set_user_attr("identity", ours)
    elif theirs != ours:
        changed = differences(ours, theirs)
        raise UserError(
            f"study {config.study.name!r} was begun with other settings ({'; '.join(changed)}); "
            "type study.name=OTHER for a new one, or put them back"
        )
    write_atomically(folder / "config.yaml", yaml.safe_dump(_shown_config(config), sort_keys=False))
    return Session(
        config=config,
        space=space,
        folder=folder,
        problem=problem,
        hello=hello,
        worker=worker,
        backend=backend,
        study=study,
        provenance={
            "code": provenance.code(),
            "hardware": dict(hello.hardware),
            "software": dict(hello.software),
            "data": provenance.data(problem.corpus, problem.ngram, problem.validation_tokens),
        },
        watcher=watcher,
        stop=stop,
    )


def _shown_config(config: StudyConfig) -> dict[str, Any]:
    return asdict(config) | {"storage": storage.without_secret(config.storage)}


def _sit(session: Session) -> int:
    """Reconcile, run what is left, report. The exit status: 0 done, 1 without a baseline, 130 stopped."""
    try:
        _reconcile(session)
        with session.watcher.watching(session.records):
            _loop(session)
        report(session)
    except StopNow:
        session.watcher.stopped_now(session.folder)
        return 130
    if session.stop.requested:
        return 130
    return 0 if session.baseline_done() else 1


def report(session: Session) -> None:
    """Draw the report's files from the records, and say where they are."""
    path = write_report(session.folder, session.records, _shown_config(session.config))
    session.watcher.report(session.folder, path)


def _loop(session: Session) -> None:
    while not session.stop.requested:
        trials = session.study.get_trials(deepcopy=False)
        if len(trials) >= session.config.budget.n_trials:
            return
        limit_j = session.config.budget.study_energy_j
        if limit_j is not None and session.spent_j() >= limit_j:
            session.watcher.budget_spent(session.spent_j(), limit_j, session.hello.meter.kind)
            return
        run = _next_run(session, trials)
        if run is None:
            session.watcher.exhausted()
            return
        record = _run_one(session, run)
        if record.role == "baseline" and not record.outcome.completes and not record.interrupted:
            session.watcher.baseline_failed(record)
            return


def _next_run(session: Session, trials: Sequence[FrozenTrial]) -> RunRequest | None:
    """The baseline first, then interrupted configurations once more, then what the sampler proposes.

    None where every configuration of the space was tried. The run has no trial number yet.
    """
    if not session.baseline_done():
        before = next((record for record in reversed(session.records) if record.role == "baseline"), None)
        return _run_request(session, "baseline", Proposal(session.space.base_params() or {}), 0, before)
    again = _interrupted(session.records)
    if again is not None:
        proposal = Proposal(dict(again.params), again.extra["system_attrs"])
        return _run_request(session, "search", proposal, int(again.extra["index"]), again)
    index = len({record.extra["index"] for record in session.records})
    proposed = _propose(session, trials, index)
    return None if proposed is None else _run_request(session, "search", proposed, index, None)


def _run_request(
    session: Session, role: str, proposal: Proposal, index: int, again: Record | None
) -> RunRequest:
    config, params = session.config, proposal.params
    is_baseline = role == "baseline"
    values = session.space.config({} if is_baseline else params)
    values["seed"] = config.seed if is_baseline else derived_seed(config.study.seed, index, SEED_OF_RUN)
    limits = config.limits()
    if not is_baseline and config.budget.study_energy_j is not None:
        left_j = config.budget.study_energy_j - session.spent_j()
        limits = replace(limits, energy_j=min(left_j, limits.energy_j or left_j))
    return RunRequest(
        study=config.study.name,
        trial=NO_NUMBER,
        index=index,
        system_attrs=proposal.system_attrs,
        run_id=uuid.uuid4().hex,
        role=role,
        params=params,
        config=values,
        target_loss=config.target_loss,
        objectives=tuple(config.objective.names),
        vocab_size=session.problem.corpus.vocab_size,
        limits=limits,
        rivals=() if is_baseline else rivals_of(values, session.records),
        retry_of=again.trial if again is not None else None,
        provenance=session.provenance,
    )


def _ask(session: Session, run: RunRequest) -> tuple[Trial, RunRequest]:
    """A trial of Optuna's with the run's parameters. The run is on the disk before the trial exists."""
    _leave(session, unmetered_record(run, session.hello.meter, KILLED, interrupted=True))
    trial = session.study.ask()
    storage.beat(session.backend, trial)
    storage.claim(trial)
    run = replace(run, trial=trial.number)
    _leave(session, unmetered_record(run, session.hello.meter, KILLED, interrupted=True))
    storage.note(trial, run.system_attrs)
    if run.params:
        session.study.sampler = PartialFixedSampler(dict(run.params), RandomSampler())
        session.space.sample(suggest_with(trial))
    return trial, run


def _leave(session: Session, partial: Record) -> None:
    """The running trial's latest state, for whoever comes after a kill."""
    write_atomically(session.folder / RUNNING, json.dumps(partial.to_dict()))


def _interrupted(records: Sequence[Record]) -> Record | None:
    """The first configuration whose every run was interrupted, while it has attempts left."""
    attempts: dict[int, list[Record]] = {}
    for record in records:
        attempts.setdefault(int(record.extra["index"]), []).append(record)
    for runs in attempts.values():
        if all(run.interrupted for run in runs) and len(runs) < MAX_ATTEMPTS:
            return runs[-1]
    return None


def _propose(session: Session, trials: Sequence[FrozenTrial], index: int) -> Proposal | None:
    visited = {config_key(record.config) for record in session.records} | {
        config_key(session.config.run_values())
    }
    history = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    return propose(
        session.space,
        session.config.sampler,
        session.config.study.seed,
        index,
        history,
        len(session.config.objective.names),
        visited,
        session.hello.capabilities.device_type,
    )


def _run_one(session: Session, run: RunRequest) -> Record:
    trial, run = _ask(session, run)
    last = unmetered_record(run, session.hello.meter, KILLED, interrupted=True)

    def on_progress(partial: Record) -> None:
        nonlocal last
        last = replace(partial, reason=KILLED)
        _leave(session, last)
        session.watcher.progress(partial)

    session.watcher.begin(run)
    try:
        with storage.beating(session.backend, trial):
            record = session.worker.run(run, on_progress, session.watcher.waiting)
    except (StopNow, UserError) as error:
        session.worker.kill()
        _settle(session, trial, replace(last, reason=str(error)))
        raise
    _settle(session, trial, record)
    return record


def _settle(session: Session, trial: Trial, record: Record) -> None:
    """On the disk first, then to Optuna."""
    append_record(session.folder / RECORDS, record)
    session.records.append(record)
    tell(session.study, trial, record)
    (session.folder / RUNNING).unlink(missing_ok=True)
    session.watcher.finished(record)


def tell(study: optuna.Study, trial: Trial, record: Record) -> None:
    """Give Optuna a record's outcome: COMPLETE with values and the constraint, or FAIL with the reason."""
    attributes = {
        "outcome": record.outcome.value,
        "reason": record.reason,
        "role": record.role,
        "meter": f"{record.meter.name} ({record.meter.kind.value})",
        "gross_energy_j": record.gross_energy_j,
        "best_loss": record.best_loss,
        "flags": list(record.flags),
    }
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    if record.outcome.completes:
        assert record.loss_gap is not None
        storage.set_constraint(trial, record.loss_gap)
        study.tell(trial, [float(value) for value in record.spent.values()])
    else:
        study.tell(trial, state=TrialState.FAIL)


def _reconcile(session: Session) -> None:
    """After a kill: tell Optuna what is on the disk, and record what a killed run had spent.

    A RUNNING trial with a record was finished but not told. One without was cut off: its latest state is in
    `running.json`, or, where it died before its first look, its energy is unknown.
    """
    path = session.folder / RECORDS
    if path.exists():
        session.records, _ = read_records(path)
    by_trial = {record.trial: record for record in session.records}
    for frozen in storage.abandoned(session.study, local=storage.is_local(session.backend)):
        trial = storage.reopen(session.study, frozen)
        record = by_trial.get(frozen.number)
        if record is not None:
            tell(session.study, trial, record)
            continue
        _settle(session, trial, _cut_off(session, frozen))
    (session.folder / RUNNING).unlink(missing_ok=True)
    finished = {
        trial.number for trial in session.study.get_trials(deepcopy=False) if trial.state.is_finished()
    }
    if finished != {record.trial for record in session.records}:
        raise UserError(
            f"{shown(path)} holds {len(session.records)} runs and the storage {len(finished)} finished "
            "trials, which do not belong together; put back what is missing, or type study.name=OTHER"
        )


def _cut_off(session: Session, frozen: FrozenTrial) -> Record:
    try:
        partial = Record.from_dict(json.loads((session.folder / RUNNING).read_text()))
    except (OSError, ValueError) as error:
        raise UserError(
            f"trial {frozen.number} of study {session.config.study.name!r} was left running and "
            f"{shown(session.folder / RUNNING)} does not say what it was ({error}); type study.name=OTHER"
        ) from error
    return replace(partial, trial=frozen.number, interrupted=True)
