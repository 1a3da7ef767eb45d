"""A worker's runs by two processes: joules are those of all ranks, and a rank that dies costs that run."""

from __future__ import annotations

import importlib
import resource
import signal
import time
from dataclasses import asdict, replace
from typing import Any

import psutil
import pytest

from model.config import ConfigError, RunConfig
from model.data import Corpus
from model.data.config import DataConfig
from model.gpt import GPT, count_parameters
from search.config.schema import DeviceSection
from search.meter.choose import choose
from search.meter.settings import MeterSection
from search.record.ledger import CountedPhases, Phase
from search.record.outcome import Outcome, Role
from search.run.request import RunRequest
from search.run.state import RunState
from search.worker.device import Device
from search.worker.memory import CpuPeak
from search.worker.process import DeviceWorker
from search.worker.protocol import WorkerSetup

TEXT = "to be or not to be that is the question whether tis nobler in the mind to suffer " * 100
CORPUS = Corpus.from_text("a text", TEXT)
WATTS = 4.0


def request(steps: int, **train: Any) -> RunRequest:
    config = RunConfig.from_mapping(
        {
            "model": {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16},
            "train": {"batch_size": 4, "max_steps": steps, "processes": 2, **train},
            "evaluation": {"context": 16, "tokens": 160, "interval": 50},
        }
    )
    return RunRequest(
        study="a study",
        trial=1,
        run_id="r1",
        role=Role.SINGLE,
        params={},
        config=asdict(config),
        target_loss=0.01,
        objectives=("energy_to_target_j",),
        counted_phases=CountedPhases.COMPILE_TRAIN,
        vocab_size=CORPUS.vocab_size,
    )


class Roomy(Device):
    """Two processes fit, however few cores there are."""

    def most_processes(self) -> int:
        return 2


class Narrow(Device):
    def most_processes(self) -> int:
        return 1


@pytest.fixture
def worker() -> DeviceWorker:
    section = MeterSection(name="cpu_time", watts_per_core=WATTS, static_w=0.0)
    device = Roomy("cpu", "a CPU")
    setup = WorkerSetup(
        "a study", DataConfig(), CORPUS.sha256, DeviceSection(name="cpu"), section, "/nowhere", processes=2
    )
    return DeviceWorker(setup, device, choose(section, device), CORPUS, None, CpuPeak())


def core_s() -> float:
    """Of this process and all that it has waited for."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def others_s() -> float:
    """Core-seconds of everybody but this process and what it has waited for."""
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq")) - core_s()


def test_joules_are_the_sum_over_all_ranks_up_to_their_end(worker: DeviceWorker) -> None:
    seen: dict[int, float] = {}
    models: list[GPT] = []

    def report(state: RunState) -> None:
        for child in psutil.Process().children():
            seen[child.pid] = sum(child.cpu_times()[:2])

    importlib.import_module("model.distributed.together")  # no part of a run, nor is what it counts at first
    count_parameters(request(100).run_config().model, CORPUS.vocab_size)
    before_s, others_before_s = core_s(), others_s()
    record = worker.run(request(100), report, keep=lambda model, state, end: models.append(model))
    spent_s = core_s() - before_s
    assert record.outcome is Outcome.OUT_OF_BUDGET
    assert record.gross_energy_j == pytest.approx(WATTS * spent_s, rel=0.02)
    assert len(seen) == 2
    assert record.gross_energy_j >= WATTS * (sum(seen.values()) - 0.05)
    assert record.ledger is not None
    assert sum(record.ledger.energy_j.values()) == pytest.approx(record.gross_energy_j)
    assert record.ledger.energy_j[Phase.TRAIN] > 0
    # The machine's books are kept in ticks, and others use it too: nothing of ours is foreign beyond that.
    foreign_s = others_s() - others_before_s
    assert record.observed["foreign_core_s"] <= foreign_s + 0.25 * spent_s
    assert record.peak_memory_bytes is None or record.peak_memory_bytes > 2 * 10**7
    assert len(models) == 1


def test_a_rank_that_is_killed_costs_its_run_and_says_so_in_one_line(worker: DeviceWorker) -> None:

    def report(state: RunState) -> None:
        if state.progress.step >= 50:
            children = {int(child.environ()["RANK"]): child for child in psutil.Process().children()}
            children[1].send_signal(signal.SIGKILL)

    record = worker.run(request(100_000), report)
    assert record.outcome is Outcome.CRASHED
    assert record.reason == "RankLost: rank 1 of 2 was killed by SIGKILL (out of memory?)"
    assert record.gross_energy_j is not None
    assert record.gross_energy_j > 0
    assert psutil.Process().children() == []


def test_more_processes_than_there_is_room_for_are_refused(worker: DeviceWorker) -> None:
    with pytest.raises(ConfigError, match=r"train\.processes=2 needs device\.threads cores each"):
        replace(worker, device=Narrow("cpu", "a CPU")).run(request(10), lambda state: None)


def test_idle_power_is_that_of_the_gpus_of_a_run(worker: DeviceWorker) -> None:
    several = replace(worker, idle_power_w=60.0, idle_by_gpu_w=(10.0, 20.0, 30.0))
    assert [several._idle_power_w(processes) for processes in (1, 2, 3)] == [10.0, 30.0, 60.0]
    assert replace(several, idle_by_gpu_w=(None, 20.0))._idle_power_w(1) is None
    assert replace(several, idle_by_gpu_w=())._idle_power_w(2) == 60.0
