"""Joules of GPUs by the rules of the meter, on GPUs that draw what they are told."""

from __future__ import annotations

import json
import threading
import time

import pytest
from fake_gpu import TICK_S, Clock, FakeGpu, joules, metered, spent_j

from search.meter.base import Reading
from search.meter.gpu.library import GpuError
from search.meter.gpu.meter import GpuMeter
from search.record.meter_info import Kind

STEP = ((0.0, 70.0), (5.0, 300.0))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gpu(clock: Clock) -> FakeGpu:
    return FakeGpu(clock)


# What it reads


@pytest.mark.parametrize("gpu_energy", ["counter", "power"])
def test_70_watts_for_10_seconds_are_700_joules(clock: Clock, gpu: FakeGpu, gpu_energy: str) -> None:
    meter = metered(gpu, clock=clock, gpu_energy=gpu_energy)
    assert spent_j(meter, clock, 10.0) == pytest.approx(700.0, abs=0.002)


@pytest.mark.parametrize("gpu_energy", ["counter", "power"])
@pytest.mark.parametrize("late_s", [0.0, 0.03, 0.07])
def test_a_step_from_70_to_300_watts_at_half_time_is_1850_joules_within_a_tick(
    clock: Clock, gpu_energy: str, late_s: float
) -> None:
    gpu = FakeGpu(clock, steps=((0.0, 70.0), (5.0 + late_s, 300.0)))
    meter = metered(gpu, clock=clock, gpu_energy=gpu_energy)
    expected_j = 1850.0 - 230.0 * late_s
    assert spent_j(meter, clock, 10.0) == pytest.approx(expected_j, abs=230.0 * TICK_S)


@pytest.mark.parametrize("gpu_energy", ["counter", "power"])
def test_a_reading_between_two_samples_holds_the_last_power_up_to_now(
    clock: Clock, gpu: FakeGpu, gpu_energy: str
) -> None:
    meter = metered(gpu, clock=clock, gpu_energy=gpu_energy)
    clock.sample = None
    assert spent_j(meter, clock, 0.05) == pytest.approx(3.5)
    assert meter.observed()["power_integral_j"] == pytest.approx(3.5)


def test_several_gpus_are_summed_and_told_apart(clock: Clock) -> None:
    gpus = [FakeGpu(clock, 0), FakeGpu(clock, 1, STEP), FakeGpu(clock, 2, ((0.0, 10.0),))]
    gpus[2].has_counter = False
    meter = metered(*gpus, clock=clock)
    assert spent_j(meter, clock, 10.0) == pytest.approx(700.0 + 1850.0 + 100.0, abs=0.01)
    assert meter.observed()["energy_by_gpu_j"] == {
        "GPU-0": pytest.approx(700.0),
        "GPU-1": pytest.approx(1850.0),
        "GPU-2": pytest.approx(100.0),
    }
    assert meter.observed()["mean_power_w"] == pytest.approx(265.0)


def test_the_reading_tells_the_warmest_gpu(clock: Clock) -> None:
    gpus = [FakeGpu(clock, index) for index in range(3)]
    gpus[1].celsius = None
    assert metered(*gpus, clock=clock).read().temperature_c == 42.0
    gpus[0].celsius = gpus[2].celsius = None
    assert metered(*gpus, clock=clock).read().temperature_c is None


def test_a_gpu_without_a_counter_is_read_by_its_power(clock: Clock, gpu: FakeGpu) -> None:
    gpu.has_counter = False
    meter = metered(gpu, clock=clock)
    assert meter.spec.settings["gpus"][0]["read_by"] == "instantaneous_power"
    assert spent_j(meter, clock, 10.0) == pytest.approx(700.0)


def test_idle_power_is_measured_by_integrated_power_too(clock: Clock, gpu: FakeGpu) -> None:
    meter = metered(gpu, clock=clock, gpu_energy="power")
    meter.stop()
    clock.advance(60.0)
    meter.start()
    assert spent_j(meter, clock, 2.0) == pytest.approx(140.0)
    meter.stop()


# What the record says of it


def test_the_spec_of_counters(clock: Clock, gpu: FakeGpu) -> None:
    spec = GpuMeter([gpu, FakeGpu(clock, 1)], clock=clock, in_background=False).spec
    assert (spec.name, spec.kind, spec.devices) == ("nvml", Kind.MEASURED, ("GPU-0", "GPU-1"))
    assert (spec.counter.update_period_s, spec.counter.resolution_j, spec.gain_error) == (0.1, 0.001, 0.05)
    assert spec.settings["gpu_energy"] == "auto"
    assert spec.settings["gpus"][0] == {
        "uuid": "GPU-0",
        "name": "Fake",
        "read_by": "total_energy_counter",
        "scope": "gpu",
    }


def test_a_meter_of_another_kind_claims_no_measured_gain(clock: Clock, gpu: FakeGpu) -> None:
    meter = GpuMeter([gpu], clock=clock, in_background=False, name="simulated", kind=Kind.MODELLED)
    assert (meter.spec.name, meter.spec.kind, meter.spec.gain_error) == ("simulated", Kind.MODELLED, None)


@pytest.mark.parametrize(
    ("instantaneous", "period_s", "read_by"),
    [(True, 0.1, "instantaneous_power"), (False, 1.0, "averaged_power")],
)
def test_one_integrated_gpu_gives_the_update_period_of_its_power(
    clock: Clock, gpu: FakeGpu, instantaneous: bool, period_s: float, read_by: str
) -> None:
    other = FakeGpu(clock, 1)
    other.has_counter, other.instantaneous = False, instantaneous
    spec = GpuMeter([gpu, other], clock=clock, in_background=False).spec
    assert spec.counter.update_period_s == period_s
    assert [one["read_by"] for one in spec.settings["gpus"]] == ["total_energy_counter", read_by]


def test_everything_observed_is_a_json_value(clock: Clock, gpu: FakeGpu) -> None:
    meter = metered(gpu, clock=clock)
    spent_j(meter, clock, 12.0)
    meter.stop()
    assert meter.observed() == json.loads(json.dumps(meter.observed()))
    assert meter.observed() == {
        "clock_sm_mean_mhz": 1000.0,
        "clock_sm_min_mhz": 1000.0,
        "power_limit_w": 100.0,
        "violation_s": {"power": 0.0, "thermal": 0.0},
        "container_sees_processes": None,
        "mean_power_w": pytest.approx(70.0),
        "energy_by_gpu_j": {"GPU-0": pytest.approx(840.0)},
        "power_integral_j": pytest.approx(840.0),
        "counter_over_power": pytest.approx(1.0),
    }


def test_what_was_not_seen_is_unknown_and_not_zero(clock: Clock, gpu: FakeGpu) -> None:
    gpu.power_error = GpuError("no power", unsupported=True)
    gpu.held_s = gpu.mhz = gpu.pids = gpu.throttled = None
    gpu.limits_w = (None, None)
    meter = metered(gpu, clock=clock)
    clock.advance(3.0)
    meter.stop()
    assert meter.observed() == {
        "clock_sm_mean_mhz": None,
        "clock_sm_min_mhz": None,
        "power_limit_w": None,
        "violation_s": {"power": None, "thermal": None},
        "container_sees_processes": None,
        "mean_power_w": None,
        "energy_by_gpu_j": {"GPU-0": None},
        "power_integral_j": None,
        "counter_over_power": None,
    }


def test_clocks_are_those_at_work_looked_at_once_a_second(clock: Clock, gpu: FakeGpu) -> None:
    gpu.mhz = {"sm": 200.0}  # before the work
    meter = metered(gpu, clock=clock)
    gpu.mhz = {"sm": 1500.0}
    clock.advance(2.05)
    gpu.mhz = {"sm": 900.0}
    clock.advance(1.0)
    gpu.mhz = {"sm": 200.0}  # after it
    meter.stop()
    observed = meter.observed()
    assert observed["clock_sm_mean_mhz"] == pytest.approx((1500.0 + 1500.0 + 900.0) / 3)
    assert observed["clock_sm_min_mhz"] == 900.0


# What it does not believe


@pytest.mark.parametrize("gpu_energy", ["counter", "power"])
def test_a_lost_gpu_gives_a_problem_and_no_joules(clock: Clock, gpu: FakeGpu, gpu_energy: str) -> None:
    other = FakeGpu(clock, 1)
    meter = metered(gpu, other, clock=clock, gpu_energy=gpu_energy)
    other.counter_error = other.power_error = GpuError("GPU-1 is lost")
    lost = meter.read()
    assert (lost.energy_j, lost.problem) == (None, "GPU-1 is lost")
    other.counter_error = other.power_error = None
    clock.advance(TICK_S)
    assert meter.read().problem == ""


def test_a_reset_spoils_every_reading_until_the_next_start(clock: Clock, gpu: FakeGpu) -> None:
    other = FakeGpu(clock, 1)
    meter = metered(gpu, other, clock=clock)
    meter.read()
    clock.advance(1.0)
    other.offset_mj -= 500_000
    for seconds in (1.0, 60.0):  # after which the counter has passed its old value again
        clock.advance(seconds)
        reading = meter.read()
        assert reading.energy_j is None
        assert "the energy counter of GPU-1 went back from 1000000 to 640000 mJ" in reading.problem
    meter.start()
    assert meter.read().problem == ""


def test_one_of_two_counters_frozen_is_seen(clock: Clock, gpu: FakeGpu) -> None:
    other = FakeGpu(clock, 1)
    meter = metered(gpu, other, clock=clock)
    other.frozen_mj = other.counter_mj()
    assert spent_j(meter, clock, 2.0) == pytest.approx(140.0)
    clock.advance(0.1)
    reading = meter.read()
    assert reading.energy_j is None
    assert reading.problem == "the energy counter of GPU-1 has not moved for 2.1 s"


def test_a_counter_that_falls_to_zero_is_no_reading(clock: Clock, gpu: FakeGpu) -> None:
    meter = metered(gpu, clock=clock)
    gpu.frozen_mj = 0
    assert meter.read().problem == "the energy counter of GPU-0 reads zero"


def test_a_gap_between_samples_leaves_no_joules_until_the_next_start(clock: Clock, gpu: FakeGpu) -> None:
    meter = metered(gpu, clock=clock, gpu_energy="power")
    meter.read()
    clock.sample = None
    clock.advance(2.5)
    clock.sample = meter.sample
    for _ in range(2):
        clock.advance(1.0)
        reading = meter.read()
        assert reading.energy_j is None
        assert reading.problem == "the power of GPU-0 was not sampled for 2.6 s"
    meter.start()
    assert spent_j(meter, clock, 1.0) == pytest.approx(70.0)


def test_samples_that_fail_are_bridged_for_two_seconds_at_most(clock: Clock, gpu: FakeGpu) -> None:
    meter = metered(gpu, clock=clock, gpu_energy="power")
    first = meter.read()
    for seconds, problem in ((1.5, ""), (2.5, "the power of GPU-0 was not sampled for 2.5 s")):
        gpu.power_error = GpuError("busy")
        clock.advance(seconds)
        gpu.power_error = None
        reading = meter.read()
        assert reading.problem == problem
        if not problem:
            assert joules(first, reading) == pytest.approx(105.0)


@pytest.mark.parametrize("watts", [0.0, -5.0])
def test_a_power_that_is_not_positive_at_work_leaves_no_joules(clock: Clock, watts: float) -> None:
    meter = metered(
        FakeGpu(clock, steps=((0.0, 70.0), (1.0, watts), (1.3, 70.0))), clock=clock, gpu_energy="power"
    )
    clock.advance(5.0)
    reading = meter.read()
    assert reading.energy_j is None
    assert reading.problem == f"the power of GPU-0 read {watts:g} W, which no GPU that is on draws"


def test_trouble_with_power_beside_a_counter_loses_no_reading(clock: Clock) -> None:
    gpu = FakeGpu(clock, steps=((0.0, 70.0), (5.0, 0.0)))
    meter = metered(gpu, FakeGpu(clock, 1), clock=clock)
    first = meter.read()
    clock.advance(12.0)
    assert joules(first, meter.read()) == pytest.approx(350.0 + 840.0)
    assert meter.flags() == ("power_implausible",), "an integral that is unknown is not so silently"
    assert meter.observed()["power_integral_j"] is None
    assert meter.observed()["counter_over_power"] == pytest.approx(1.0), "of the other GPU"


# Its life


def test_closing_lets_go_once_and_a_later_reading_is_a_problem(clock: Clock, gpu: FakeGpu) -> None:
    closed: list[str] = []
    meter = metered(gpu, clock=clock, on_close=lambda: closed.append("closed"))
    meter.close()
    meter.close()
    gpu.counter_error = gpu.power_error = GpuError("asked after it was let go")
    gpu.throttled = frozenset({"power_capped"})
    meter.start()
    meter.sample()
    meter.stop()
    reading = meter.read()
    assert (reading.energy_j, reading.problem) == (None, "the meter is closed")
    assert meter.flags() == ()
    assert closed == ["closed"]


def test_it_samples_by_itself_between_start_and_stop() -> None:
    asked: list[float] = []

    class Counting(FakeGpu):
        def power_mw(self) -> int:
            asked.append(time.perf_counter())
            return super().power_mw()

    gpu = Counting(time.perf_counter)
    meter = GpuMeter([gpu], gpu_energy="power")
    meter.start()
    began = len(asked)
    time.sleep(0.35)
    meter.stop()
    sampled = len(asked) - began
    assert 1 <= sampled <= 4, "ten times a second, fewer on a busy machine"
    time.sleep(0.25)
    assert len(asked) - began == sampled
    meter.close()


@pytest.mark.parametrize("gpu_energy", ["counter", "power"])
def test_readings_from_several_threads_never_go_back(gpu_energy: str) -> None:
    meter = GpuMeter([FakeGpu(time.perf_counter, index) for index in range(2)], gpu_energy=gpu_energy)
    meter.start()
    ends_s = time.perf_counter() + 0.3
    seen: list[list[Reading]] = [[], [], []]

    def look(readings: list[Reading]) -> None:
        while time.perf_counter() < ends_s:
            readings.append(meter.read())
            meter.sample()
            meter.flags()
            meter.observed()

    threads = [threading.Thread(target=look, args=(readings,)) for readings in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.close()
    every = sorted((reading for readings in seen for reading in readings), key=lambda one: one.time_s)
    assert {reading.problem for reading in every} == {""}
    energies = [reading.energy_j for reading in every if reading.energy_j is not None]
    assert energies == sorted(energies)
    seconds = every[-1].time_s - every[0].time_s  # a thread may lose its core between counter and clock
    assert joules(every[0], every[-1]) == pytest.approx(140.0 * seconds, rel=0.25)
