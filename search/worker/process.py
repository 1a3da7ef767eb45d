"""The process that trains: one device, one meter, one data set; runs one after another.

`python -m search.station` speaks JSON lines: requests on standard input, events on standard output. The
parent (see `search.worker.handle`) never touches the accelerator. `search.train` uses a `Station` in its own
process.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model.compiling import import_compiler
from model.config import DataConfig, RunConfig
from model.data import load
from model.data.corpus import Corpus
from model.gpt import count_parameters
from model.train import NextEvaluation, train
from model.variants import compiles
from search.config.schema import DeviceSection
from search.energy.account import mean_power_w
from search.errors import ONE_LINE, UserError
from search.files.provenance import software
from search.meter import METERS, Meter, choose
from search.meter.settings import MeterSection, RooflineSection
from search.record.record import CountedPhases, MeterInfo, Outcome, Record
from search.run.cadence import evaluation_cost_steps, steps_until_evaluation
from search.run.execute import INTERRUPTED, Instrument, RunRequest, Seen, execute, one_line, to_record
from search.run.pauses import Heartbeat
from search.run.stopping import Ending
from search.run.temperature_band import Band, next_step
from search.worker.device import Device, exclusive, locks, resolve
from search.worker.handle import StationSetup
from search.worker.locks import check_usable
from search.worker.memory import PeakMemory

# A progress event carries the whole record so far; it is sent at most so often.
REPORT_EVERY_S = 0.5


@dataclass(frozen=True)
class Station:
    """An opened device with its meter and data. `hello` is what the parent needs to know of it."""

    setup: StationSetup
    device: Device
    meter: Meter
    info: MeterInfo
    beside: tuple[Instrument, ...]
    corpus: Corpus
    idle_power_w: float | None
    memory: PeakMemory

    @staticmethod
    def open(setup: StationSetup) -> Station:
        """Raises what `ONE_LINE` lists where the device, the meter or the data cannot be had."""
        device = resolve(DeviceSection(**setup.device))
        section = meter_section(setup.meter)
        meter, because = choose(section, device)
        beside = tuple(
            Instrument(other, _info(other, section, "named in meter.also"))
            for other in (METERS[name].build(section, device) for name in section.also)
        )
        held = locks(device, (meter.spec, *(one.meter.spec for one in beside)))
        check_usable(held)
        if not setup.device["wait"]:
            with exclusive(held, _holder(setup.study), wait=False):
                pass  # they are free now; each run holds them for itself
        corpus = load(DataConfig(**setup.data), Path(setup.cache_dir))
        if corpus.sha256 != setup.data_sha256:
            raise UserError(
                f"the text of data={corpus.name} changed since the study was begun; type study.name=OTHER"
            )
        _warm_up(device, corpus)
        info = _info(meter, section, because)
        idle_w = _idle_power_w(meter, section.idle_s)
        return Station(setup, device, meter, info, beside, corpus, idle_w, device.memory(corpus))

    def hello(self) -> dict[str, Any]:
        return {
            "capabilities": asdict(self.device.capabilities()),
            "meter": asdict(self.info),
            "hardware": self.device.describe(),
            "software": software() | {"torch": torch.__version__},
            "idle_power_w": self.idle_power_w,
        }

    def run(
        self,
        request: RunRequest,
        report: Callable[[Seen], None],
        on_wait: Callable[[str], None] = lambda what: None,
    ) -> Record:
        """One run, holding the device."""
        config = request.run_config()
        if compiles(config):
            import_compiler()
        request = replace(request, parameters=count_parameters(config.model, self.corpus.vocab_size))
        training = train(
            config,
            self.corpus,
            self.device.torch_device,
            next_evaluation(config, request.target_loss, self.corpus),
            request.target_loss,
        )
        wait = bool(self.setup.device["wait"])
        specs = (self.meter.spec, *(one.meter.spec for one in self.beside))
        with exclusive(locks(self.device, specs), _holder(request.study), wait, on_wait):
            flags = self._into_band(on_wait)
            self.memory.reset()
            return execute(
                request,
                training,
                self.meter,
                self.info,
                report,
                beside=self.beside,
                synchronize=self.device.synchronize,
                idle_power_w=self.idle_power_w,
                peak_memory=self.memory.bytes,
                flags=flags,
                pauses=Heartbeat(),
            )

    def _into_band(self, on_wait: Callable[[str], None]) -> tuple[str, ...]:
        """Cool or warm the device to where every run starts from; flags where it does not get there."""
        section = DeviceSection(**self.setup.device)
        if section.temperature_band_c is None:
            return ()
        low_c, high_c = section.temperature_band_c
        band, began = Band(low_c, high_c, section.band_limit_s), time.monotonic()
        while True:
            now_c = self.meter.read().temperature_c
            step = next_step(now_c, band, time.monotonic() - began)
            if step.action == "start":
                return step.flags
            on_wait(f"the device to come into {low_c:g} to {high_c:g} C")
            if step.action == "heat":
                self.device.work(1.0)
            else:
                time.sleep(1.0)


def meter_section(values: Mapping[str, Any]) -> MeterSection:
    """From the plain values that crossed to this process."""
    return MeterSection(**{**values, "roofline": RooflineSection(**values["roofline"])})


def _info(meter: Meter, section: MeterSection, because: str) -> MeterInfo:
    spec = meter.spec
    return MeterInfo(
        name=spec.name,
        kind=spec.kind,
        counted_phases=CountedPhases(section.counted_phases),
        chosen_because=because,
        settings=dict(spec.settings)
        | {
            "devices": list(spec.devices),
            "update_period_s": spec.update_period_s,
            "gain_error": spec.gain_error,
        },
    )


def _holder(study: str) -> str:
    return f"study {study!r} (process {os.getpid()})"


def next_evaluation(config: RunConfig, target_loss: float, corpus: Corpus) -> NextEvaluation:
    """The cadence of one run, for the training generator."""
    context = config.evaluation.context
    tokens = (config.evaluation.tokens or len(corpus.validation) - 1) // context * context
    cost = evaluation_cost_steps(config, tokens)
    return lambda looks: steps_until_evaluation(looks, target_loss, config.evaluation.interval, cost)


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


def _idle_power_w(meter: Meter, seconds: float) -> float | None:
    """Mean power with nothing running, or None where it was not asked for or cannot be told."""
    if seconds <= 0 or not meter.spec.clocked:
        return None
    meter.start()
    start = meter.read()
    time.sleep(seconds)
    end = meter.read()
    meter.stop()
    return mean_power_w(start, end)


def main() -> None:
    """Serve requests until standard input ends."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which decides
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not look like an event

    def send(kind: str, **body: Any) -> None:
        print(json.dumps({"event": kind, **body}), file=events, flush=True)

    try:
        station = Station.open(StationSetup(**json.loads(sys.stdin.readline())))
    except ONE_LINE as error:
        send("refused", message=str(error))
        return
    send("ready", hello=station.hello())
    try:
        for line in sys.stdin:
            _serve(station, RunRequest.from_dict(json.loads(line)), send)
    except BrokenPipeError:  # the parent is gone, and nobody is left to train for
        os._exit(1)


def _die_with_parent() -> None:
    """Linux ends this process when its parent dies, also in the middle of a compilation; elsewhere a pipe
    breaks."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


def _serve(station: Station, request: RunRequest, send: Callable[..., None]) -> None:
    last_s = 0.0

    def report(seen: Seen) -> None:
        nonlocal last_s
        now = time.monotonic()
        if now - last_s >= REPORT_EVERY_S or seen.progress.loss is not None or last_s == 0.0:
            last_s = now
            partial = to_record(seen, Ending(Outcome.CRASHED, INTERRUPTED), interrupted=True)
            send("progress", record=partial.to_dict())

    try:
        record = station.run(request, report, lambda what: send("waiting", what=what))
    except BrokenPipeError:
        raise
    except Exception as error:
        send("failed", message=one_line(error))
        return
    station.memory.reset()
    send("result", record=record.to_dict(), worn=station.memory.worn)


if __name__ == "__main__":
    main()
