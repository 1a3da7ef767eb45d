"""A run is charged for the GPUs that its processes train on: joules one by one, unknown where one is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest
from fake_gpu import Clock, FakeGpu, spent_j

from model.config import RunConfig, TrainConfig
from search.errors import MeterUnavailable
from search.meter.base import Siblings, WorkDone
from search.meter.choose import METERS
from search.meter.gpu.library import GpuError
from search.meter.gpu.meter import GpuMeter
from search.meter.settings import MeterSection
from search.meter.simulated.meter import FakeClock, SimulatedGpu
from search.meter.simulated.program import Program

VOCAB = 60


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gpus(clock: Clock) -> list[FakeGpu]:
    """Of 70, 170 and 270 W."""
    return [FakeGpu(clock, index, ((0.0, 70.0 + 100.0 * index),)) for index in range(3)]


def run_of(processes: int) -> WorkDone:
    return WorkDone(RunConfig(train=TrainConfig(processes=processes)), VOCAB)


def started(gpus: list[FakeGpu], clock: Clock, processes: int) -> GpuMeter:
    meter = GpuMeter(gpus, clock=clock, in_background=False, by_processes=True)
    clock.sample = meter.sample
    meter.start(run_of(processes))
    return meter


@pytest.mark.parametrize(("processes", "expected_w"), [(1, 70.0), (2, 240.0), (3, 510.0)])
def test_a_run_is_charged_for_a_gpu_a_process(
    clock: Clock, gpus: list[FakeGpu], processes: int, expected_w: float
) -> None:
    meter = started(gpus, clock, processes)
    assert spent_j(meter, clock, 10.0) == pytest.approx(10.0 * expected_w)
    listed = meter.observed()["energy_by_gpu_j"]
    assert listed == {f"GPU-{i}": pytest.approx(700.0 + 1000.0 * i) for i in range(processes)}
    assert sum(listed.values()) == pytest.approx(10.0 * expected_w)


def test_idle_power_is_that_of_all_of_them_and_told_apart(clock: Clock, gpus: list[FakeGpu]) -> None:
    meter = started(gpus, clock, 1)
    meter.start()
    assert spent_j(meter, clock, 10.0) == pytest.approx(5100.0)
    assert len(meter.observed()["energy_by_gpu_j"]) == 3


def test_what_is_locked_and_recorded_does_not_change_with_the_run(clock: Clock, gpus: list[FakeGpu]) -> None:
    meter = started(gpus, clock, 2)
    assert meter.spec.devices == ("GPU-0", "GPU-1", "GPU-2")


def test_unknown_in_one_gpu_is_unknown_in_the_sum(clock: Clock, gpus: list[FakeGpu]) -> None:
    meter = started(gpus, clock, 2)
    first = meter.read()
    clock.advance(5.0)
    gpus[1].counter_error = GpuError("GPU-1 is lost")
    last = meter.read()
    assert first.energy_j is not None
    assert (last.energy_j, last.problem) == (None, "GPU-1 is lost")


def test_a_gpu_that_a_run_does_not_use_does_not_trouble_it(clock: Clock, gpus: list[FakeGpu]) -> None:
    meter = started(gpus, clock, 1)
    gpus[1].counter_error = GpuError("GPU-1 is lost")
    gpus[1].pids = frozenset({1})
    gpus[1].throttled = frozenset({"throttled_thermal"})
    assert spent_j(meter, clock, 10.0) == pytest.approx(700.0)
    meter.stop()
    assert meter.flags() == ()


@pytest.mark.parametrize("doubtful", [0, 1])
def test_each_gpu_of_a_run_is_watched(clock: Clock, gpus: list[FakeGpu], doubtful: int) -> None:
    gpus[1 - doubtful].pids = frozenset({os.getpid()})
    gpus[doubtful].pids = frozenset({1})
    gpus[doubtful].throttled = frozenset({"throttled_thermal"})
    gpus[doubtful].limits_w = (80.0, 100.0)
    meter = started(gpus, clock, 2)
    spent_j(meter, clock, 10.0)
    meter.stop()
    assert meter.flags() == ("foreign_process", "power_limit_lowered", "throttled_thermal")


def test_a_counter_that_stands_still_in_one_of_two_simulated_gpus_leaves_no_joules() -> None:
    program = Program.from_mapping({"devices": 2, "frozen_from_s": 3.0, "fault_device": 1})
    clock = FakeClock()
    gpus = [SimulatedGpu(program, index, clock, 0.0) for index in range(2)]
    readings = {}
    for processes in (1, 2):
        meter = GpuMeter(gpus, clock=clock, in_background=False, by_processes=True)
        meter.start(run_of(processes))
        for _ in range(10):
            clock.advance(1.0)
            readings[processes] = meter.read()
    assert readings[1].energy_j is not None
    assert readings[2].energy_j is None
    assert gpus[1].uuid in readings[2].problem


@dataclass
class TwoGpus:
    """A device that trains on two."""

    type: str = "cuda"
    name: str = "a GPU"
    gpu: str | None = "0"
    gpus: tuple[str, ...] = ("0", "1")
    index: int = 0
    rocm: bool = False
    siblings: Siblings = field(default_factory=Siblings)


def test_a_meter_of_one_gpu_is_refused_where_runs_train_on_several() -> None:
    with pytest.raises(MeterUnavailable, match=r"^zeus reads one GPU.*type train\.processes=1 or"):
        METERS["zeus"].build(MeterSection(), TwoGpus())
