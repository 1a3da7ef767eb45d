"""One run in this process, by the same code that a study's worker runs."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape

from model.data import kept_tokenizer
from model.runnable import absent
from search.config.devices import check_one_run
from search.config.schema import StudyConfig
from search.console.signals import Interruption
from search.errors import Stopped, UserError
from search.files.paths import cache_dir
from search.files.saved_model import free_folder
from search.record.meter_info import Kind
from search.record.outcome import Role
from search.record.record import Record
from search.record.target import TO_THE_END, target_of
from search.run.request import RunRequest
from search.run.state import RunState
from search.space.model import Space
from search.space.offer import slow_here
from search.study.problem import Problem, load_problem
from search.study.progress import Watcher
from search.train.output import check_output
from search.train.save import Saving
from search.worker.device import resolve
from search.worker.process import DeviceWorker
from search.worker.protocol import WorkerInfo, WorkerSetup


def train_one(
    config: StudyConfig, console: Console, interruption: Interruption
) -> tuple[Record, Saving | None]:
    """The record of the configuration's run, interrupted or not; and what saved its model, where one was to
    be saved."""
    check_one_run(config)
    resolve(config.device)  # reports a missing GPU before anything is downloaded
    if config.output is not None:
        check_output(config.output)
    folder = None if config.save is None else free_folder(config.save)
    watcher = Watcher(console, config.study.name, 1, config.metric)
    problem = load_problem(config, watcher.loading)
    target_loss = target_of(config.target, config.target_margin, ())
    watcher.problem(problem.corpus, problem.ngram, target_loss, problem.validation_tokens)
    saving = None
    if folder is not None:
        saving = Saving(folder, config, kept_tokenizer(problem.corpus, cache_dir()))
    worker = DeviceWorker.open(WorkerSetup.of(config, problem.corpus.sha256))
    info = worker.info()
    if missing := absent(config.run_config(), info.capabilities):
        raise UserError(missing)
    meter = info.meter
    console.print(
        f"{escape(worker.device.name)}, meter {meter.name} ({meter.kind.value}): "
        f"{escape(meter.chosen_because)}",
        highlight=False,
    )
    for line in slow_here(Space((), config.run_values()), info.capabilities):
        watcher.note(f"slow here: {line}")
    request = _request(config, problem, info, TO_THE_END if target_loss is None else target_loss)
    report = _evaluation_printer(console, meter.kind, interruption)
    return worker.run(request, report, _waiting_printer(console), saving), saving


def _request(config: StudyConfig, problem: Problem, info: WorkerInfo, target_loss: float) -> RunRequest:
    return RunRequest(
        study="train",
        trial=0,
        run_id=uuid.uuid4().hex,
        role=Role.SINGLE,
        params={},
        config=config.run_values(),
        target_loss=target_loss,
        objectives=tuple(config.objective.names),
        counted_phases=config.counted_phases,
        vocab_size=problem.corpus.vocab_size,
        limits=config.limits(),
        provenance=problem.provenance(info.hardware, info.software),
        to_the_end=bool(config.to_the_end),
        inference=config.inference_plan(Role.SINGLE),
    )


def _evaluation_printer(
    console: Console, kind: Kind, interruption: Interruption
) -> Callable[[RunState], None]:
    """A line for each evaluation. Where nobody reads its lines any more, the run is interrupted, and has a
    record."""

    def report(state: RunState) -> None:
        if state.progress.loss is None:
            return
        energy_j, time_s = state.counted
        joules = "unknown" if energy_j is None else f"{energy_j:10.2f} J ({kind.value})"
        metric = state.request.metric
        value = f"{metric.name} {metric.shown(state.progress.loss):.4f}"
        line = f"step {state.progress.step:6d}  {value}  {joules}  {time_s:8.2f} s"
        try:
            console.print(line, highlight=False)
        except Stopped as stopped:
            interruption.status = stopped.status
            raise KeyboardInterrupt from stopped

    return report


def _waiting_printer(console: Console) -> Callable[[str], None]:
    """A line for each thing that the run waits for, once."""
    said = ""

    def waiting(what: str) -> None:
        nonlocal said
        if what != said:
            said = what
            console.print(f"waiting for {escape(what)}", highlight=False)

    return waiting
