"""The process that trains: one device, one meter, one data set; runs one after another.

`python -m search.station` speaks JSON lines: requests on standard input, events on standard output. The
parent (see `search.worker`) never touches the accelerator. `search.train` uses a `Station` in its own
process.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model.config import DataConfig, RunConfig
from model.data import load
from model.data.corpus import Corpus
from model.gpt import count_parameters
from model.train import NextEvaluation, train
from search.cadence import evaluation_cost_steps, steps_until_evaluation
from search.compose import ONE_LINE, UserError
from search.config import DeviceSection, MeterSection
from search.device import Device, exclusive, resolve
from search.energy import mean_power_w
from search.meter import Meter, choose
from search.provenance import software
from search.run import INTERRUPTED, RunRequest, Seen, execute, one_line, to_record
from search.stopping import Ending
from search.trial import CountedPhases, MeterInfo, Outcome, Record
from search.worker import StationSetup

# A progress event carries the whole record so far; it is sent at most so often.
REPORT_EVERY_S = 0.5


@dataclass(frozen=True)
class Station:
    """An opened device with its meter and data. `hello` is what the parent needs to know of it."""

    setup: StationSetup
    device: Device
    meter: Meter
    info: MeterInfo
    corpus: Corpus
    idle_power_w: float | None

    @staticmethod
    def open(setup: StationSetup) -> Station:
        """Raises what `ONE_LINE` lists where the device, the meter or the data cannot be had."""
        device = resolve(DeviceSection(**setup.device))
        if not setup.device["wait"]:
            with exclusive(device.uuid, _holder(setup.study), wait=False):
                pass  # it is free now; each run holds it for itself
        section = MeterSection(**setup.meter)
        meter, because = choose(section, device)
        spec = meter.spec
        info = MeterInfo(
            name=spec.name,
            kind=spec.kind,
            counted_phases=CountedPhases(section.counted_phases),
            chosen_because=because,
            settings=dict(spec.settings)
            | {"devices": list(spec.devices), "update_period_s": spec.update_period_s},
        )
        corpus = load(DataConfig(**setup.data), Path(setup.cache_dir))
        if corpus.sha256 != setup.data_sha256:
            raise UserError(
                f"the text of data={corpus.name} changed since the study was begun; type study.name=OTHER"
            )
        _warm_up(device, corpus)
        return Station(setup, device, meter, info, corpus, _idle_power_w(meter, section.idle_s))

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
        on_wait: Callable[[str], None] = lambda by: None,
    ) -> Record:
        """One run, holding the device."""
        config = request.run_config()
        request = replace(request, parameters=count_parameters(config.model, self.corpus.vocab_size))
        training = train(
            config,
            self.corpus,
            self.device.torch_device,
            next_evaluation(config, request.target_loss, self.corpus),
        )
        wait = bool(self.setup.device["wait"])
        with exclusive(self.device.uuid, _holder(request.study), wait, on_wait):
            self.device.reset_peak_memory()
            return execute(
                request,
                training,
                self.meter,
                self.info,
                report,
                synchronize=self.device.synchronize,
                idle_power_w=self.idle_power_w,
                peak_memory=self.device.peak_memory_bytes,
            )


def _holder(study: str) -> str:
    return f"study {study!r} (process {os.getpid()})"


def next_evaluation(config: RunConfig, target_loss: float, corpus: Corpus) -> NextEvaluation:
    """The cadence of one run, for the training generator."""
    tokens = config.evaluation.tokens or len(corpus.validation) - 1
    shortest = max(1, round(evaluation_cost_steps(config, tokens)))
    return lambda curve: steps_until_evaluation(curve, target_loss, config.evaluation.interval, shortest)


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
    if seconds <= 0:
        return None
    start = meter.read()
    time.sleep(seconds)
    return mean_power_w(start, meter.read())


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
        record = station.run(request, report, lambda by: send("waiting", by=by))
    except BrokenPipeError:
        raise
    except Exception as error:
        send("failed", message=one_line(error))
        return
    send("result", record=record.to_dict())


if __name__ == "__main__":
    main()
