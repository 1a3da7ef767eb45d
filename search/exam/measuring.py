"""The runs by which kernels are measured: each is a run as a study's worker makes it, cut short once enough
of its steps were metered. Imports torch."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model.config import RunConfig
from model.data import load
from model.runnable import absent
from search.config.schema import StudyConfig
from search.errors import MORE, NO_RESULT, Stopped, UserError
from search.exam.cases import (
    COMBINATION,
    MOST_ATTEMPTS,
    REFERENCE,
    Case,
    CaseState,
    Measurement,
    combination,
    in_order,
    is_hopeless,
    kernel_cases,
    next_case,
    ratio_of,
)
from search.exam.folder import ExamFolder
from search.exam.forms import VariantsForm
from search.exam.settings import ExamSettings
from search.exam.step_cost import Sample, StepCost, step_cost, window
from search.files.paths import cache_dir, shown
from search.record.ledger import CountedPhases, Phase
from search.record.limits import Limits
from search.record.outcome import Role
from search.record.record import Record
from search.record.target import TO_THE_END
from search.run.record_builder import now_utc
from search.run.request import RunRequest
from search.run.state import RunState
from search.study.signals import StopRequest
from search.worker.process import DeviceWorker
from search.worker.protocol import WorkerSetup

ENDLESS_STEPS = 10**9
RUN_LIMIT_S = 600.0
"""A run that has no window of steps by then has none."""

_AROUND = (Phase.SETUP, Phase.COMPILE)


class _EnoughSeen(KeyboardInterrupt):
    """Ends a run in good order, as Ctrl-C does."""


def measure_all(config: StudyConfig, settings: ExamSettings, folder: ExamFolder, stop: StopRequest) -> int:
    """Until nothing is left, `stop` was requested, or a kernel failed. The exit status."""
    corpus = load(config.data, cache_dir())
    worker = DeviceWorker.open(WorkerSetup.of(config, corpus.sha256))
    baseline = config.run_values()

    def why_not(values: Mapping[str, Any]) -> str | None:
        return absent(RunConfig.from_mapping(values), worker.info().capabilities)

    if missing := why_not(baseline):
        raise UserError(missing)
    form = _resumed(folder, baseline, worker, in_order(kernel_cases(baseline, why_not, settings.tables)))
    folder.write_variants(form)
    while not stop.requested:
        form = _with_combination(form, baseline, why_not)
        case = next_case(form.cases, form.measured, form.session)
        if case is None:
            folder.write_variants(form)
            return 0
        if is_hopeless(case, form.measured):
            print(f"the reference failed {MOST_ATTEMPTS} times, so that no kernel has a ratio: see above")
            return NO_RESULT
        form, failed = _measured(case, form, baseline, worker, settings, folder)
        if failed:
            break
    return 0 if next_case(form.cases, form.measured, form.session) is None else MORE


def _resumed(
    folder: ExamFolder, baseline: Mapping[str, Any], worker: DeviceWorker, cases: tuple[Case, ...]
) -> VariantsForm:
    """The table so far, as a new session goes on with it. What a process died of twice has failed."""
    meter = {"name": worker.meter.name, "kind": worker.meter.kind.value}
    before = folder.read_variants()
    if before is None:
        return VariantsForm(baseline, meter, worker.device.name, cases, session=1)
    if before.baseline != baseline or before.meter != meter:
        raise UserError(
            f"{shown(folder.variants_file)} was begun with another baseline or meter; move it away, or type "
            "exam.folder=OTHER"
        )
    form = replace(before, session=before.session + 1)
    if form.running is None or form.running[1] < MOST_ATTEMPTS:
        return form
    name, attempts = form.running
    reason = f"its process ended {attempts} times while it was measured"
    base = next((case.base for case in form.cases if case.name == name), {})
    failed = Measurement(name, base, form.session - 1, CaseState.FAILED, reason, at=now_utc())
    return replace(form, measured=(*form.measured, failed), running=None)


def _with_combination(
    form: VariantsForm, baseline: Mapping[str, Any], why_not: Callable[[Mapping[str, Any]], str | None]
) -> VariantsForm:
    """Adds the cheapest rows together, once each of them is measured."""
    if form.left or any(case.name == COMBINATION for case in form.cases):
        return form
    together = combination(form.cases, form.measured, baseline, why_not)
    return form if together is None else replace(form, cases=(*form.cases, together))


def _measured(
    case: Case,
    form: VariantsForm,
    baseline: Mapping[str, Any],
    worker: DeviceWorker,
    settings: ExamSettings,
    folder: ExamFolder,
) -> tuple[VariantsForm, bool]:
    """The table with one measurement more, which is on the disk, and whether that failed."""
    before = form
    attempts = form.running[1] if form.running is not None and form.running[0] == case.name else 0
    form = replace(form, running=(case.name, attempts + 1))
    folder.write_variants(form)
    try:
        one = _measure(case, form.session, case.values(baseline), worker, settings)
    except Stopped:  # the end of a slice says nothing of the kernel
        folder.write_variants(replace(before, running=None))
        raise
    form = replace(form, measured=(*form.measured, one), running=None)
    folder.write_variants(form)
    print(_line(form), flush=True)
    return form, one.state is CaseState.FAILED


def _measure(
    case: Case, session: int, values: Mapping[str, Any], worker: DeviceWorker, settings: ExamSettings
) -> Measurement:
    watch = _Watch(settings.warm_s, settings.window_s)
    record = worker.run(_request(values, worker), watch.see, _say_once())
    around_s = {} if record.ledger is None else {one.value: record.ledger.time_s[one] for one in _AROUND}
    around_j = None if record.ledger is None else {one.value: record.ledger.energy_j[one] for one in _AROUND}
    measured = Measurement(
        case.name,
        case.base,
        session,
        CaseState.FAILED,
        around_j=around_j,
        around_s=around_s,
        flags=tuple(record.flags),
        at=now_utc(),
    )
    cost = watch.cost
    if cost is None:
        return replace(measured, reason=_why_none(record))
    return replace(
        measured,
        state=CaseState.UNKNOWN if cost.energy_j is None else CaseState.MEASURED,
        reason=cost.reason,
        energy_j=cost.energy_j,
        time_s=cost.time_s,
        error_j=cost.error_j,
        steps=cost.steps,
        window_s=cost.window_s,
    )


@dataclass
class _Watch:
    """Takes a run's readings until there is a window of steps, and then ends the run."""

    warm_s: float
    window_s: float
    samples: list[Sample] = field(default_factory=list)
    cost: StepCost | None = None

    def see(self, state: RunState) -> None:
        if state.progress.phase != Phase.TRAIN.value:
            return
        account = state.account
        known = account.ledger() is not None
        energy_j = account.last.energy_j if known else None
        sample = Sample(account.last.time_s, energy_j, state.progress.step, account.reason)
        self.samples.append(sample)
        found = window(self.samples, self.warm_s, self.window_s)
        if found is not None:
            self.cost = step_cost(*found, account.counter.update_period_s, account.counter.resolution_j)
            raise _EnoughSeen


def _request(values: Mapping[str, Any], worker: DeviceWorker) -> RunRequest:
    """A run without an end, a target or an evaluation."""
    endless = {**values, "train": {**values["train"], "max_steps": ENDLESS_STEPS}}
    return RunRequest(
        study=worker.setup.study,
        trial=0,
        run_id=uuid.uuid4().hex,
        role=Role.SINGLE,
        params={},
        config=endless,
        target_loss=TO_THE_END,
        objectives=("energy_to_target_j", "time_to_target_s"),
        counted_phases=CountedPhases.TRAIN,
        vocab_size=worker.corpus.vocab_size,
        limits=Limits(None, RUN_LIMIT_S, None),
        to_the_end=True,
    )


def _say_once() -> Callable[[str], None]:
    """Prints each thing that the run waits for, once."""
    said: set[str] = set()

    def waiting(what: str) -> None:
        if what not in said:
            said.add(what)
            print(f"waiting for {what}", flush=True)

    return waiting


def _why_none(record: Record) -> str:
    return record.reason or f"no window of steps within {RUN_LIMIT_S:g} s"


def _line(form: VariantsForm) -> str:
    one = form.measured[-1]
    name = one.case if not one.base else f"{one.case} ({_shown(one.base)})"
    if one.time_s is None:
        return f"{name}: {one.state.value}: {one.reason}"
    joules = "joules unknown" if one.energy_j is None else f"{1000 * one.energy_j:.4g} mJ"
    against = ratio_of(len(form.measured) - 1, form.measured).energy
    ratio = f", {against:.3f} of the reference before it" if one.case != REFERENCE and against else ""
    around = "".join(f", {phase} {seconds:.1f} s" for phase, seconds in one.around_s.items())
    return f"{name}: {joules}, {1000 * one.time_s:.4g} ms a step{ratio} ({one.steps} steps{around})"


def _shown(base: Mapping[str, Any]) -> str:
    return ", ".join(f"{path}={str(value).lower()}" for path, value in base.items())
