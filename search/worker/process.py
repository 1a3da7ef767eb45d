"""The process that trains: one device, one meter, one data set; runs one after another.

`python -m search.worker.process` reads requests on standard input and writes events on standard output (see
`search.worker.protocol`). The parent (see `search.worker.handle`) never touches the accelerator.
`search.train` uses a `DeviceWorker` in its own process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from model.capabilities import POWER_LIMIT, SM_CLOCK, Capabilities
from model.compiling import import_compiler
from model.config import ConfigError, RunConfig
from model.data import load
from model.data.corpus import Corpus
from model.distributed.parent import die_with_parent
from model.errors import one_line
from model.fits import scored_tokens
from model.generation import Generation
from model.gpt import GPT, count_parameters
from model.inference import generate
from model.precision.formats import evaluable
from model.progress import Progress
from model.runnable import missing
from model.train import NextEvaluation, train
from search.energy.account import mean_power_w
from search.errors import ONE_LINE, UserError
from search.files.provenance import software
from search.meter.base import Meter, Siblings, WorkDone
from search.meter.choose import ChosenMeter, choose
from search.meter.settings import MeterSection
from search.record.flags import Flag
from search.record.meter_info import MeterInfo
from search.record.outcome import Outcome, Role
from search.record.record import Record
from search.run.cadence import evaluation_cost_steps, steps_until_evaluation
from search.run.execute import INTERRUPTED, execute
from search.run.inference import Generate
from search.run.pauses import Heartbeat
from search.run.record_builder import to_record
from search.run.request import RunRequest
from search.run.state import RunState
from search.run.stopping import Ending
from search.run.temperature_band import Band, next_step
from search.worker.device import Device, lock_names, resolve
from search.worker.holding import (
    Holdable,
    as_found,
    check_gpus,
    held,
    holdable,
    limits_as_found,
    metered_gpus,
    put_back_left_overs,
)
from search.worker.locks import CPU, check_usable, exclusive, holder_of
from search.worker.memory import PeakMemory, PeakOfRanks
from search.worker.protocol import (
    Event,
    Failed,
    Finished,
    ProgressReport,
    Ready,
    Refused,
    Waiting,
    WorkerInfo,
    WorkerSetup,
    event_to_line,
)
from search.worker.slots import Slot

# A progress event carries the whole record so far; it is sent at most so often.
REPORT_EVERY_S = 0.5

KeepModel = Callable[[GPT, RunState, Ending], None]
"""As `search.run.execute.Keep`, with the model."""


@dataclass(frozen=True)
class DeviceWorker:
    """An opened device with its meter and data. `idle_by_gpu_w`: idle power of each GPU of which a run may
    train on some. `holdable`: what its GPUs can be held to."""

    setup: WorkerSetup
    device: Device
    meters: tuple[ChosenMeter, ...]
    corpus: Corpus
    idle_power_w: float | None
    memory: PeakMemory
    idle_by_gpu_w: tuple[float | None, ...] = ()
    holdable: Holdable = field(default_factory=Holdable)

    @staticmethod
    def open(setup: WorkerSetup) -> DeviceWorker:
        """Raises what `ONE_LINE` lists where the device, the meter or the data cannot be had."""
        _keep_to(setup.slot.cores)
        device = replace(resolve(setup.device, setup.processes), siblings=Siblings(setup.slot.siblings))
        section = setup.meter
        meters = _open_meters(section, device)
        locks = _locks(setup.slot, device, meters)
        check_usable(locks)
        if not setup.device.wait:
            with exclusive(locks, holder_of(setup.study), wait=False):
                pass  # they are free now; each run holds them for itself
        check_gpus(metered_gpus(meters), setup.holds_gpus)
        corpus = load(setup.data, Path(setup.cache_dir), held_out=setup.held_out)
        if corpus.sha256 != setup.data_sha256:
            raise UserError(
                f"the text of data={corpus.name} changed since the study was begun; type study.name=OTHER"
            )
        _warm_up(device, corpus)
        idle = _idle_power(meters[0].meter, section.idle_s)
        by_gpu_w = idle.by_gpu_w if section.gpus is None else ()
        memory, limits = device.memory(corpus), holdable(meters)
        return DeviceWorker(setup, device, meters, corpus, idle.power_w, memory, by_gpu_w, limits)

    @property
    def meter(self) -> MeterInfo:
        """The meter that ranks."""
        return self.meters[0].info

    def capabilities(self) -> Capabilities:
        return replace(self.device.capabilities(), **vars(self.holdable))

    def info(self) -> WorkerInfo:
        return WorkerInfo(
            capabilities=self.capabilities(),
            meter=self.meter,
            hardware=self.device.describe() | ({} if self.setup.node is None else {"node": self.setup.node}),
            software=software() | {"torch": torch.__version__},
            idle_power_w=self.idle_power_w,
        )

    def run(
        self,
        request: RunRequest,
        report: Callable[[RunState], None],
        on_wait: Callable[[str], None] = lambda what: None,
        keep: KeepModel | None = None,
    ) -> Record:
        """One run, holding the device. `keep` gets the model of one that was trained to its end."""
        config = request.run_config()
        self._check_held(config)
        if config.compiles:
            import_compiler()
        request = replace(request, parameters=count_parameters(config.model, self.corpus.vocab_size))
        models: list[GPT] = []
        needs_model = keep is not None or request.inference is not None
        training, memory = self._training(config, request, models.append if needs_model else None)
        wait = self.setup.device.wait
        locks = _locks(self.setup.slot, self.device, self.meters)
        self.device.siblings.busy = request.role is Role.SEARCH  # the baseline and the confirmation run alone
        shared = (CPU,) if self.setup.slot.shares_cpu else ()
        with exclusive(locks, holder_of(request.study), wait, on_wait, shared):
            if len(self.device.gpus) > 1:  # the temperature is to be that of the GPUs of this run
                self.meters[0].meter.start(WorkDone(config, request.vocab_size))
            flags = self._into_band(on_wait)
            with held(self._charged_gpus(config.train.processes), config.device) as changed:
                memory.reset()
                return execute(
                    _with_changed(request, changed),
                    training,
                    self.meters,
                    report,
                    synchronize=self.device.synchronize,
                    idle_power_w=self._idle_power_w(config.train.processes),
                    peak_memory=memory.bytes,
                    flags=flags,
                    pauses=Heartbeat(),
                    keep=None if keep is None else lambda state, end: keep(models[-1], state, end),
                    generate=self._generator(models) if request.inference is not None else None,
                )

    def _check_held(self, config: RunConfig) -> None:
        """Raises ConfigError where the GPUs cannot be held to what is asked: a recipe may be of another."""
        if config.device.holds:
            here = self.capabilities()
            for path in (POWER_LIMIT, SM_CLOCK):
                if missing_here := missing(path, config.value_of(path), here):
                    raise ConfigError(missing_here)

    def _charged_gpus(self, processes: int) -> tuple[str, ...]:
        """Of a run that so many processes train: those whose joules it is charged for."""
        gpus = metered_gpus(self.meters)
        own = self.setup.meter.gpus is None and self.device.type == "cuda"
        return gpus[:processes] if own else gpus

    def _generator(self, models: Sequence[GPT]) -> Generate:
        """Of the last of `models`, once it is trained: on the device, and in fp32, as it is evaluated."""
        trained: list[GPT] = []

        def once(generation: Generation) -> int:
            if not trained:
                trained.append(evaluable(models[-1]).to(self.device.torch_device))
            return generate(trained[0], generation)

        return once

    def _training(
        self, config: RunConfig, request: RunRequest, hand_over: Callable[[GPT], None] | None
    ) -> tuple[Generator[Progress, None, object], PeakMemory]:
        """The training that is to be followed, by one process or several, and what counts its memory."""
        decide = next_evaluation(config, request.target_loss, self.corpus)
        if request.to_the_end:
            decide = only_at_the_end(config)
        if config.train.processes == 1:
            return train(
                config,
                self.corpus,
                self.device.torch_device,
                decide,
                request.target_loss,
                score_test=request.to_the_end,
                hand_over=hand_over or (lambda model: None),
            ), self.memory
        if missing_here := missing("train.processes", config.train.processes, self.device.capabilities()):
            raise ConfigError(missing_here)
        from model.distributed.together import train_together

        memory = PeakOfRanks()
        return train_together(
            config,
            self.corpus,
            self.device.type,
            decide,
            request.target_loss,
            score_test=request.to_the_end,
            hand_over=hand_over,
            on_peaks=memory.take,
        ), memory

    def _idle_power_w(self, processes: int) -> float | None:
        """Of what a run is charged for: its own GPUs, where the meter told them apart."""
        if len(self.idle_by_gpu_w) <= processes:
            return self.idle_power_w
        known = [power_w for power_w in self.idle_by_gpu_w[:processes] if power_w is not None]
        return sum(known) if len(known) == processes else None

    def _into_band(self, on_wait: Callable[[str], None]) -> tuple[Flag, ...]:
        """Cool or warm the device to where every run starts from; flags where it does not get there."""
        section = self.setup.device
        if section.temperature_band_c is None:
            return ()
        low_c, high_c = section.temperature_band_c
        band, began = Band(low_c, high_c, section.band_limit_s), time.monotonic()
        while True:
            now_c = self.meters[0].meter.read().temperature_c
            step = next_step(now_c, band, time.monotonic() - began)
            if step.action == "start":
                return step.flags
            on_wait(f"the device to come into {low_c:g} to {high_c:g} C")
            if step.action == "heat":
                self.device.work(1.0)
            else:
                time.sleep(1.0)


def _open_meters(section: MeterSection, device: Device) -> tuple[ChosenMeter, ...]:
    """Whose settings say the power limits that GPUs have when no run holds them to another."""
    put_back_left_overs()
    limits_w = limits_as_found()
    meters = choose(section, device)
    limits_w |= limits_as_found()
    return tuple(as_found(meter, limits_w) for meter in meters)


def _with_changed(request: RunRequest, changed: Mapping[str, Any]) -> RunRequest:
    """The request, whose provenance says what its GPUs are held to and what they were before."""
    if not changed:
        return request
    return replace(request, provenance={**request.provenance, "gpus_held": dict(changed)})


def _keep_to(cores: Collection[int]) -> None:
    """Run on these cores alone, where the system lets a process choose; none for all."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _locks(slot: Slot, device: Device, meters: Iterable[ChosenMeter]) -> frozenset[str]:
    """What a run must hold for itself. Where a CPU has several slots, their study holds it for all of them,
    or they share it."""
    names = lock_names(device, [one.meter.spec for one in meters])
    return names if slot.alone else names - {CPU}


def next_evaluation(config: RunConfig, target_loss: float, corpus: Corpus) -> NextEvaluation:
    """The cadence of one run, for the training generator."""
    cost = evaluation_cost_steps(config, scored_tokens(config, corpus))
    longest, stray = config.evaluation.interval, config.metric.stray
    return lambda results: steps_until_evaluation(results, target_loss, longest, cost, stray)


def only_at_the_end(config: RunConfig) -> NextEvaluation:
    """The cadence of a run of fixed length: no evaluation before the one of its last step."""
    return lambda looks: config.train.max_steps


def _warm_up(device: Device, corpus: Corpus) -> None:
    """Two small runs: what torch imports and builds on first use must not be charged to the first trial."""
    for precision in ("fp32", "bf16"):
        config = RunConfig.from_mapping(
            {
                "model": {"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 32},
                "train": {"max_steps": 3, "batch_size": 2, "precision": precision},
                "evaluation": {"tokens": 64, "context": 32},
            }
        )
        for _ in train(config, corpus, device.torch_device):
            pass


class _Idle(NamedTuple):
    """Watts with nothing running; None where they are unknown. `by_gpu_w` is empty without GPUs."""

    power_w: float | None
    by_gpu_w: tuple[float | None, ...] = ()


def _idle_power(meter: Meter, seconds: float) -> _Idle:
    """The mean; unknown where it was not asked for or cannot be told."""
    if seconds <= 0 or not meter.spec.counter.clocked:
        return _Idle(None)
    meter.start()
    start = meter.read()
    time.sleep(seconds)
    end = meter.read()
    meter.stop()
    by_gpu_j: Mapping[str, float | None] = meter.observed().get("energy_by_gpu_j", {})
    window_s = end.time_s - start.time_s
    by_gpu_w = tuple(None if spent_j is None else spent_j / window_s for spent_j in by_gpu_j.values())
    return _Idle(mean_power_w(start, end), by_gpu_w)


def main() -> None:
    """Serve requests until standard input ends."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which decides
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not look like an event

    def send(event: Event) -> None:
        print(event_to_line(event), file=events, flush=True)

    try:
        worker = DeviceWorker.open(WorkerSetup.from_line(sys.stdin.readline()))
    except ONE_LINE as error:
        send(Refused(str(error)))
        return
    send(Ready(worker.info()))
    try:
        for line in sys.stdin:
            _serve(worker, RunRequest.from_dict(json.loads(line)), send)
    except BrokenPipeError:  # the parent is gone, and nobody is left to train for
        os._exit(1)


def _serve(worker: DeviceWorker, request: RunRequest, send: Callable[[Event], None]) -> None:
    last_s = 0.0

    def report(state: RunState) -> None:
        nonlocal last_s
        now = time.monotonic()
        if now - last_s >= REPORT_EVERY_S or state.progress.loss is not None or last_s == 0.0:
            last_s = now
            partial = to_record(state, Ending(Outcome.CRASHED, INTERRUPTED), interrupted=True)
            send(ProgressReport(partial))

    try:
        record = worker.run(request, report, lambda what: send(Waiting(what)))
    except BrokenPipeError:
        raise
    except Exception as error:
        send(Failed(one_line(error)))
        return
    worker.memory.reset()
    send(Finished(record, worker.memory.worn))


if __name__ == "__main__":
    main()
