"""A study from its first trial to its report: ask, run, record, tell; and going on where one was killed.

The order of things is what makes nothing get lost: a result is fsynced to `records.jsonl` before Optuna is
told, and a run leaves its latest state in `running.json` while it goes. On start and at the end the three are
brought into agreement; `records.jsonl` is the truth (see `search.study.recovery`).
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import Any

import yaml
from filelock import FileLock, Timeout

from model.config import ConfigError, RunConfig
from model.data import Corpus, cached_best_ngram, load
from model.data.download import OnProgress, silent
from model.data.ngram import NgramLoss
from model.fits import scored_tokens, too_short, unfit
from model.variants import absent
from search.config.checks import check_study
from search.config.schema import StudyConfig
from search.console.signals import ending_signals
from search.errors import INTERRUPTED, NO_RESULT, Stopped, UserError
from search.files import provenance
from search.files.own_folder import OwnFolder
from search.files.paths import cache_dir, reports_dir, shown, study_dir
from search.files.records import append_record, read_records
from search.files.whole_file import FileError, check_folder, naming, read_json, write_atomically
from search.record.lookup import rivals_of
from search.record.noise import NoiseSettings, another_baseline
from search.record.record import Record
from search.record.target import ROLE, TO_THE_END, target_of
from search.report.page import write_report
from search.run.execute import RunRequest, unmetered_record
from search.sampling.enqueued import asked_for, whole
from search.sampling.history import sampler_history
from search.sampling.proposal import Proposal, cannot_run, derived_seed, nothing_runs, propose
from search.space.canonical import config_key
from search.space.model import Space
from search.space.offer import offered
from search.space.reach import check_reach
from search.study import storage
from search.study.identity import check_records, check_storage, identity
from search.study.mirror import Enqueued, Mirror
from search.study.progress import Watcher
from search.study.recovery import NO_NUMBER
from search.worker.handle import Hello, StationSetup, Worker, check_device

RECORDS = "records.jsonl"
RUNNING = "running.json"
IDENTITY = "identity.json"
# A configuration whose run was interrupted is tried this often in all.
MAX_ATTEMPTS = 3
# Of a study's energy budget, what may be kept for one more run of the baseline.
LARGEST_RESERVE = 0.25
# The part of a seed that sets runs apart from proposals.
SEED_OF_RUN = 1_000_000
KILLED = "the study's process was killed during this run"
OUTPUT_LOST = "nobody read the study's output any more"


@dataclass
class Stop:
    """Ctrl-C once lets the running trial finish; twice, or SIGTERM or SIGHUP, ends it."""

    requested: bool = False
    on_request: Callable[[], None] = lambda: None

    def install(self) -> None:
        signal.signal(signal.SIGINT, self._interrupt)
        for number in ending_signals():
            signal.signal(number, self._terminate)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise Stopped("stopped", INTERRUPTED)
        self.requested = True
        self.on_request()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        raise Stopped(f"stopped by {signal.Signals(number).name}", 128 + number)


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
    run = config.run_config()
    if problem := too_short(run, corpus):
        raise UserError(problem)
    tokens = scored_tokens(run, corpus)
    ngram = cached_best_ngram(corpus, tokens, cache_dir(), on_progress=on_progress)
    return Problem(corpus, ngram, tokens)


@dataclass
class Session:
    """One sitting at a study: everything that the loop needs, opened."""

    config: StudyConfig
    space: Space
    folder: Path
    problem: Problem
    hello: Hello
    worker: Worker
    mirror: Mirror
    provenance: Mapping[str, Any]
    watcher: Watcher
    stop: Stop
    records: list[Record] = field(default_factory=list)
    found_before: int = 0
    exhausted: bool = False

    def target_loss(self) -> float | None:
        """The loss to reach, None until it is found."""
        return target_of(self.config.target_loss, self.config.target_margin, self.records)

    def baseline_done(self) -> bool:
        return any(record.role == "baseline" and record.outcome.completes for record in self.records)

    def spent_j(self) -> float:
        return sum(record.gross_energy_j or 0.0 for record in self.records)

    def search_limit_j(self) -> float | None:
        """What the study may spend before it repeats its baseline: its budget, less one run of the baseline
        where that is still to come and at most a quarter of it."""
        limit_j = self.config.budget.study_energy_j
        runs = [record for record in self.records if record.role == "baseline" and record.feasible]
        if limit_j is None or len(runs) != 1 or self.config.noise.runs < 2:
            return limit_j
        once_more_j = runs[0].gross_energy_j or 0.0
        return limit_j - once_more_j if once_more_j <= LARGEST_RESERVE * limit_j else limit_j

    def key_of(self, config: Mapping[str, Any]) -> str:
        return config_key(config, self.problem.corpus.vocab_size)

    def why_not(self, config: Mapping[str, Any]) -> str | None:
        return why_not(config, self.problem, self.hello)

    def tried(self) -> dict[str, str]:
        """Keys of the configurations that need no further run, and what has run them."""
        runs = {self.key_of(record.config): f"trial {record.trial}" for record in self.records}
        return runs | {self.key_of(self.config.run_values()): "the baseline"}


def why_not(config: Mapping[str, Any], problem: Problem, hello: Hello) -> str | None:
    """Why a configuration cannot be trained here, on this text, or None."""
    corpus = problem.corpus
    reason = cannot_run(config, hello.capabilities.device_type)
    return reason or unfit(RunConfig.from_mapping(config), corpus)


def run_study(config: StudyConfig, watcher: Watcher) -> int:
    """Run or go on with a study; returns the exit status.

    Raises what `compose.ONE_LINE` lists, before anything is created where the settings are at fault.
    """
    space = check_study(config)
    folder = study_dir(config.study.name, config.reports)
    check_folder(folder)
    _read(folder)  # a file that holds something else is found before a worker starts
    check_device(config.device)
    with naming(cache_dir(), "used"):
        problem = load_problem(config, watcher.loading)
    check_reach(space, problem.corpus)
    target_loss = target_of(config.target_loss, config.target_margin, _read(folder))
    watcher.problem(problem.corpus, problem.ngram, target_loss, problem.validation_tokens)
    stop = Stop(on_request=watcher.stopping)
    if config.storage != "auto":  # a wrong URL is found before anything is created
        _try_storage(config.storage, folder)
    with _scratch() as scratch:
        log = scratch / "worker.log"
        worker = Worker(_station_setup(config, problem), log, config.budget.hang_s)
        try:
            hello = worker.start()
            if missing := absent(config.run_config(), hello.capabilities):
                raise UserError(missing)
            space, left_out = offered(space, hello.capabilities)
            watcher.ready(hello, left_out)
            _check_something_runs(space, problem, hello)
            with naming(folder, "made"):
                folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder, config.study.name):
                session = _open(config, space, folder, problem, hello, worker, watcher, stop)
                stop.install()
                return _sit(session)
        finally:
            worker.kill()


def _read(folder: Path) -> list[Record]:
    """The study's records, none where there are none yet. Raises RecordsError or FileError."""
    path = folder / RECORDS
    if not path.exists() and not path.is_symlink():
        return []
    return read_records(path)[0]


def _try_storage(url: str, folder: Path) -> None:
    with suppress(storage.CorruptDatabase):  # which is set aside, or refused, when the study is opened
        storage.open_storage(url, folder).engine.dispose()


@contextmanager
def _scratch() -> Iterator[Path]:
    with naming(Path(os.environ.get("TMPDIR", "/tmp")), "written into"):
        folder = OwnFolder.make("joulesearch-scratch-")
    try:
        yield folder.path
    finally:
        folder.remove()


def _check_something_runs(space: Space, problem: Problem, hello: Hello) -> None:
    """Raises UserError where the study would end after its baseline."""
    reason = nothing_runs(
        space,
        lambda config: why_not(config, problem, hello),
        lambda config: config_key(config, problem.corpus.vocab_size),
    )
    if reason:
        raise UserError(reason)


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
    with naming(folder / ".lock", "written"):
        try:
            return FileLock(folder / ".lock").acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"study {name!r} is running in another process; wait for it, or type study.name=OTHER"
            ) from error


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
    records = _read(folder)
    ours = identity(config, space, problem.corpus, problem.validation_tokens, hello)
    target_loss = target_of(config.target_loss, config.target_margin, records)
    check_records(ours, read_json(folder / IDENTITY), records, folder / RECORDS, target_loss)
    mirror = Mirror.open(
        config.storage, folder, config.study.name, config.objective.names, ours, space, watcher.note
    )
    check_storage(mirror, records, folder / RECORDS)
    write_atomically(folder / "config.yaml", yaml.safe_dump(_shown_config(config), sort_keys=False))
    write_atomically(folder / IDENTITY, json.dumps(ours, indent=1) + "\n")
    if records and records[-1].study != config.study.name:
        watcher.note(f"begun as study {records[-1].study!r}; it goes on as {config.study.name!r}")
    return Session(
        config=config,
        space=space,
        folder=folder,
        problem=problem,
        hello=hello,
        worker=worker,
        mirror=mirror,
        provenance={
            "code": provenance.code(),
            "hardware": dict(hello.hardware),
            "software": dict(hello.software),
            "data": provenance.data(problem.corpus, problem.ngram, problem.validation_tokens),
        },
        watcher=watcher,
        stop=stop,
        records=records,
        found_before=len(records),
    )


def _shown_config(config: StudyConfig) -> dict[str, Any]:
    reports = None if config.reports is None else str(reports_dir(config.reports))
    return asdict(config) | {"storage": storage.without_secret(config.storage), "reports": reports}


def _sit(session: Session) -> int:
    """Reconcile, run what is left, report. The exit status: 0, 1 without a baseline, or what stopped it."""
    try:
        _reconcile(session)
        with session.watcher.watching(session.records):
            _loop(session)
        report(session)
        session.mirror.reconcile(session.records)
    except Stopped as stopped:
        session.watcher.stopped_now(session.folder)
        return stopped.status
    except FileError as error:
        raise UserError(f"{error}; {_what_is_safe(session)}") from error
    finally:
        session.mirror.close()
    if session.stop.requested:
        return INTERRUPTED
    return 0 if any(record.feasible for record in session.records) else NO_RESULT


def _what_is_safe(session: Session) -> str:
    count = len(session.records)
    runs = "1 run is" if count == 1 else f"{count} runs are"
    safe = f"{runs} safe in {shown(session.folder / RECORDS)}; " if count else ""
    return f"{safe}then the same command goes on"


def report(session: Session) -> None:
    """Draw the report's files from the records, and say where they are."""
    with naming(session.folder, "written into"):
        path = write_report(session.folder, session.records, _shown_config(session.config))
    session.watcher.report(session.folder, path)


def _loop(session: Session) -> None:
    while not session.stop.requested:
        run = _next_run(session)
        if run is None:
            return
        record = _run_one(session, run)
        if record.role == "search":
            continue
        lost = not record.outcome.completes and (not record.interrupted or _gives_up(session))
        if lost and not session.baseline_done():
            session.watcher.baseline_failed(record)
        if (lost and not session.baseline_done()) or _gives_up(session):
            return
        if record.role == ROLE and not _found_target(session, record):
            return


def _gives_up(session: Session) -> bool:
    """Whether the baseline was interrupted so often in this sitting that it will not come to its end."""
    now = session.records[session.found_before :]
    return sum(record.interrupted for record in now if record.role != "search") >= MAX_ATTEMPTS


def _found_target(session: Session, record: Record) -> bool:
    """Whether the study has a target now; it says which, or why not."""
    if record.interrupted:
        return True  # it is tried again
    target_loss = session.target_loss()
    if target_loss is None:
        session.watcher.no_target(record)
        return False
    session.watcher.found_target(target_loss, record.curve[-1].loss, session.problem.ngram)
    return True


def _next_run(session: Session) -> RunRequest | None:
    """What looks for the target where it is not known; the baseline; the trials; the baseline once more.

    None where nothing is left to do. The run has no trial number yet, unless its trial waits for it.
    """
    records, config = session.records, session.config
    of_baseline = Proposal(session.space.base_params() or {})
    for role, done in ((ROLE, session.target_loss() is not None), ("baseline", session.baseline_done())):
        if not done:
            before = next((record for record in reversed(records) if record.role == role), None)
            return _run_request(session, role, of_baseline, 0, before)
    limit_j = session.search_limit_j()
    if limit_j is not None and session.spent_j() >= limit_j:
        session.watcher.budget_spent(session.spent_j(), limit_j, session.hello.meter.kind)
    elif counted_trials(records) < config.budget.n_trials and not session.exhausted:
        run = _next_trial(session)
        if run is not None:
            return run
        session.exhausted = True
        session.watcher.exhausted()
    if another_baseline(records, config.objective.names, NoiseSettings(**asdict(config.noise))):
        total_j = config.budget.study_energy_j
        if total_j is None or session.spent_j() < total_j:
            return _run_request(session, "baseline", of_baseline, 0, None)
    return None


def counted_trials(records: Sequence[Record]) -> int:
    """Those that `budget.n_trials` counts: all but the runs that look for the target, or repeat a baseline
    that has reached it."""
    count, reached = 0, False
    for record in records:
        is_baseline = record.role == "baseline"
        count += record.role != ROLE and not (is_baseline and reached)
        reached = reached or (is_baseline and record.feasible)
    return count


def _next_trial(session: Session) -> RunRequest | None:
    """An interrupted configuration once more, then what somebody enqueued, then what the sampler proposes;
    None where every configuration of the space was tried."""
    again = interrupted(session.records)
    if again is not None:
        proposal = Proposal(dict(again.params), again.extra["system_attrs"])
        return _run_request(session, "search", proposal, int(again.extra["index"]), again)
    index = len({record.extra["index"] for record in session.records})
    for enqueued in session.mirror.waiting(session.records):
        try:
            asked = _answer(session, enqueued, index)
        except ConfigError as error:
            session.mirror.refuse(enqueued, str(error), session.records)
            session.watcher.note(f"the enqueued trial {enqueued.number} is refused: {error}")
            continue
        return replace(_run_request(session, "search", asked, index, None), trial=enqueued.number)
    proposed = _propose(session, index)
    return None if proposed is None else _run_request(session, "search", proposed, index, None)


def _answer(session: Session, enqueued: Enqueued, index: int) -> Proposal:
    """What to run for an enqueued trial: as it asks, the sampler chooses the rest. Raises ConfigError where
    that cannot be run."""
    params = asked_for(enqueued.params, session.space)
    point = whole(params, session.space)
    if point is None:
        found = _propose(session, index, params)
        if found is None:
            raise ConfigError("no configuration of the space with these values is left that runs here")
        return found
    config = session.space.config(point.params)
    reason = session.why_not(config)
    before = session.tried().get(session.key_of(config))
    if reason is None and before is not None:
        reason = f"{before} has this configuration already"
    if reason is not None:
        raise ConfigError(reason)
    return point


def _run_request(
    session: Session, role: str, proposal: Proposal, index: int, again: Record | None
) -> RunRequest:
    config, params = session.config, proposal.params
    is_trial = role == "search"
    values = session.space.config(params if is_trial else {})
    values["seed"] = derived_seed(config.study.seed, index, SEED_OF_RUN) if is_trial else config.seed
    limits, limit_j = config.limits(), session.search_limit_j()
    if is_trial and limit_j is not None:
        left_j = limit_j - session.spent_j()
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
        target_loss=TO_THE_END if role == ROLE else session.target_loss() or TO_THE_END,
        objectives=tuple(config.objective.names),
        vocab_size=session.problem.corpus.vocab_size,
        limits=limits,
        rivals=rivals_of(values, session.records) if is_trial else (),
        retry_of=again.trial if again is not None else None,
        provenance=session.provenance,
    )


def _ask(session: Session, run: RunRequest) -> RunRequest:
    """The run with the number of its trial. It is on the disk before the trial exists."""
    undone = replace(run, trial=NO_NUMBER)
    _leave(session, unmetered_record(undone, session.hello.meter, KILLED, interrupted=True))
    run = replace(run, trial=session.mirror.begin(run, session.records))
    _leave(session, unmetered_record(run, session.hello.meter, KILLED, interrupted=True))
    return run


def _leave(session: Session, partial: Record) -> None:
    """The running trial's latest state, for whoever comes after a kill."""
    write_atomically(session.folder / RUNNING, json.dumps(partial.to_dict()))


def interrupted(records: Sequence[Record]) -> Record | None:
    """The first configuration whose every run was interrupted, while it has attempts left."""
    attempts: dict[int, list[Record]] = {}
    for record in records:
        attempts.setdefault(int(record.extra["index"]), []).append(record)
    for runs in attempts.values():
        if all(run.interrupted for run in runs) and len(runs) < MAX_ATTEMPTS:
            return runs[-1]
    return None


def _propose(session: Session, index: int, fixed: Mapping[str, Any] | None = None) -> Proposal | None:
    objectives = session.config.objective.names
    return propose(
        session.space,
        session.config.sampler,
        session.config.study.seed,
        index,
        sampler_history(session.records, session.space, objectives),
        len(objectives),
        session.tried(),
        session.why_not,
        session.key_of,
        fixed or {},
    )


def _run_one(session: Session, run: RunRequest) -> Record:
    run = _ask(session, run)
    last = unmetered_record(run, session.hello.meter, KILLED, interrupted=True)
    warned = False

    def on_progress(partial: Record) -> None:
        nonlocal last, warned
        last = replace(partial, reason=KILLED)
        try:
            _leave(session, last)
        except FileError as error:  # what it insures against may never happen, and the run cost joules
            if not warned:
                session.watcher.note(f"{error}; the run goes on")
            warned = True
        session.watcher.progress(partial)

    session.watcher.begin(run)
    try:
        with session.mirror.beating():
            record = session.worker.run(run, on_progress, session.watcher.waiting)
    except (Stopped, UserError) as error:
        session.worker.kill()
        _settle(session, replace(last, reason=str(error) or OUTPUT_LOST))
        raise
    _settle(session, record)
    return record


def _settle(session: Session, record: Record) -> None:
    """On the disk first, then to Optuna."""
    _keep(session, record)
    session.mirror.tell(record, session.records)
    session.watcher.finished(record)


def _keep(session: Session, record: Record) -> None:
    """Append the record; where that cannot be, leave it where there is room and say what to type. Raises
    FileError."""
    path = session.folder / RECORDS
    try:
        append_record(path, record)
    except FileError as error:
        elsewhere = Path(tempfile.gettempdir()) / f"joulesearch-{record.run_id}.jsonl"
        try:
            append_record(elsewhere, record)
        except FileError:
            raise error from None
        raise FileError(
            f"{error}; trial {record.trial} lies in {elsewhere}: "
            f"type cat {quote(str(elsewhere))} >> {quote(shown(path))}"
        ) from error
    session.records.append(record)
    with suppress(OSError):
        (session.folder / RUNNING).unlink(missing_ok=True)


def _reconcile(session: Session) -> None:
    """After a kill: record what the killed run had spent, then let the storage agree with the records."""
    partial = _left_behind(session)
    cut = session.mirror.cut_off(partial, session.records)
    if cut is not None:
        _keep(session, cut)
        session.watcher.finished(cut)
    session.mirror.reconcile(session.records)
    with naming(session.folder / RUNNING, "removed"):
        (session.folder / RUNNING).unlink(missing_ok=True)


def _left_behind(session: Session) -> Record | None:
    """The latest state of the run that was going on when the last sitting ended, if it is known."""
    path = session.folder / RUNNING
    written = read_json(path)
    if written is None:
        return None
    try:
        return Record.from_dict(written)
    except (ValueError, AttributeError) as error:
        session.watcher.note(
            f"{shown(path)} does not say what was running ({error}): its joules are not known"
        )
        return None
