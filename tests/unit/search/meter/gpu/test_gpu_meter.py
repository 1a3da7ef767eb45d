"""The rules of the GPU meter, on GPUs that draw what they are told over a clock that a test moves."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from search.errors import MeterUnavailable
from search.meter.base import Reading
from search.meter.gpu.library import Gpu, GpuError
from search.meter.gpu.meter import GpuMeter
from search.record.meter_info import Kind

TICK_S = 0.1  # between samples
STEP = ((0.0, 70.0), (5.0, 300.0))


class Clock:
    """Seconds that pass when told to; a meter's `sample` is called ten times in each."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.sample: Callable[[], None] | None = None

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        start_s = self.now_s
        for tick in range(round(seconds / TICK_S)):
            self.now_s = start_s + (tick + 1) * TICK_S
            if self.sample is not None:
                self.sample()
        self.now_s = start_s + seconds


class FakeGpu:
    """Draws `steps` of (seconds since it was made, watts). What else it says is an attribute for tests to
    set."""

    def __init__(
        self,
        clock: Callable[[], float],
        index: int = 0,
        steps: tuple[tuple[float, float], ...] = ((0.0, 70.0),),
    ) -> None:
        self.uuid = f"GPU-{index}"
        self.name = "Fake"
        self.counts_a_module = False
        self.has_counter = True
        self.instantaneous = True
        self.power_factor = 1.0
        self.counter_error: GpuError | None = None
        self.power_error: GpuError | None = None
        self.frozen_mj: int | None = None
        self.offset_mj = 1_000_000
        self.mig = False
        self.celsius: float | None = 40.0 + index
        self.pids: frozenset[int] | None = frozenset()
        self.throttled: frozenset[str] | None = frozenset()
        self.held_s: Mapping[str, float] | None = {"power": 5.0, "thermal": 7.0}
        self.mhz: Mapping[str, float] | None = {"sm": 1000.0, "memory": 2000.0}
        self.limits_w: tuple[float | None, float | None] = (100.0, 100.0)
        self._clock, self._origin_s, self._steps = clock, clock(), steps

    def _power_w(self) -> float:
        now_s = self._clock() - self._origin_s
        return next(watts for since, watts in reversed(self._steps) if now_s >= since - 1e-9)

    def counter_mj(self) -> int:
        if not self.has_counter:
            raise GpuError(f"{self.uuid} has no counter", unsupported=True)
        if self.counter_error is not None:
            raise self.counter_error
        now_s = self._clock() - self._origin_s
        ends = [since for since, _ in self._steps[1:]] + [float("inf")]
        joules = sum(
            watts * max(0.0, min(now_s, end) - since)
            for (since, watts), end in zip(self._steps, ends, strict=True)
        )
        return self.offset_mj + round(1000 * joules) if self.frozen_mj is None else self.frozen_mj

    def power_mw(self) -> int:
        if self.power_error is not None:
            raise self.power_error
        return round(1000 * self._power_w() * self.power_factor)

    def power_is_instantaneous(self) -> bool:
        return self.instantaneous

    def mig_enabled(self) -> bool:
        return self.mig

    def temperature_c(self) -> float | None:
        return self.celsius

    def processes(self) -> frozenset[int] | None:
        return self.pids

    def throttle_flags(self) -> frozenset[str] | None:
        return self.throttled

    def violation_s(self) -> Mapping[str, float] | None:
        return self.held_s

    def clocks_mhz(self) -> Mapping[str, float] | None:
        return self.mhz

    def power_limits_w(self) -> tuple[float | None, float | None]:
        return self.limits_w

    def describe(self) -> Mapping[str, Any]:
        return {"uuid": self.uuid, "name": self.name}


def metered(*gpus: Gpu, clock: Clock, **options: Any) -> GpuMeter:
    """A meter that has started and is sampled by the clock."""
    meter = GpuMeter(gpus, clock=clock, in_background=False, **options)
    clock.sample = meter.sample
    meter.start()
    return meter


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gpu(clock: Clock) -> FakeGpu:
    return FakeGpu(clock)


def joules(first: Reading, last: Reading) -> float:
    assert (first.problem, last.problem) == ("", "")
    assert first.energy_j is not None
    assert last.energy_j is not None
    return last.energy_j - first.energy_j


def spent_j(meter: GpuMeter, clock: Clock, seconds: float) -> float:
    first = meter.read()
    clock.advance(seconds)
    return joules(first, meter.read())


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


# What it refuses


def refusal(clock: Clock, *gpus: Gpu, **options: Any) -> str:
    with pytest.raises(MeterUnavailable) as raised:
        GpuMeter(gpus, clock=clock, in_background=False, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_no_gpu_is_refused(clock: Clock) -> None:
    assert "one or more different GPUs, got none" in refusal(clock)


def test_the_same_gpu_twice_is_refused_since_its_joules_would_count_twice(clock: Clock, gpu: FakeGpu) -> None:
    assert "one or more different GPUs, got GPU-0, GPU-0" in refusal(clock, gpu, FakeGpu(clock, 0))


@pytest.mark.parametrize("gpu_energy", ["auto", "counter", "power"])
def test_mig_mode_is_refused(clock: Clock, gpu: FakeGpu, gpu_energy: str) -> None:
    gpu.mig = True
    assert "GPU-0 (Fake) is in MIG mode" in refusal(clock, gpu, gpu_energy=gpu_energy)


def test_a_counter_of_a_module_is_refused_unless_opted_in(clock: Clock, gpu: FakeGpu) -> None:
    gpu.counts_a_module = True
    says = refusal(clock, gpu)
    assert "the total energy counter of GPU-0 (Fake) covers the whole module" in says
    assert "meter.allow_module_scope=true" in says
    spec = GpuMeter([gpu], clock=clock, in_background=False, allow_module_scope=True).spec
    assert spec.settings["gpus"][0]["scope"] == "module"


def test_beside_a_module_counter_only_averaged_power_may_cover_the_module(clock: Clock, gpu: FakeGpu) -> None:
    gpu.counts_a_module = True
    spec = GpuMeter([gpu], clock=clock, in_background=False, gpu_energy="power").spec
    assert spec.settings["gpus"][0]["scope"] == "gpu"
    gpu.instantaneous = False
    assert "the averaged power of GPU-0" in refusal(clock, gpu, gpu_energy="power")


def test_a_counter_that_reads_zero_is_refused_and_the_power_beside_it_is_not(
    clock: Clock, gpu: FakeGpu
) -> None:
    gpu.offset_mj = 0
    assert "the energy counter of GPU-0 (Fake) reads zero" in refusal(clock, gpu)
    meter = metered(gpu, clock=clock, gpu_energy="power")
    assert spent_j(meter, clock, 1.0) == pytest.approx(70.0)


def test_counter_refuses_a_gpu_without_one(clock: Clock, gpu: FakeGpu) -> None:
    gpu.has_counter = False
    says = refusal(clock, gpu, gpu_energy="counter")
    assert "has no energy counter" in says
    assert "meter.gpu_energy=auto" in says


def test_a_gpu_with_neither_counter_nor_power_is_refused(clock: Clock, gpu: FakeGpu) -> None:
    gpu.has_counter = False
    gpu.power_error = GpuError("the power of GPU-0 cannot be read", unsupported=True)
    assert refusal(clock, gpu) == "the power of GPU-0 cannot be read"


@pytest.mark.parametrize("watts", [0.0, -1.0])
def test_a_power_that_is_not_positive_is_refused(clock: Clock, watts: float) -> None:
    gpu = FakeGpu(clock, steps=((0.0, watts),))
    assert f"the power of GPU-0 (Fake) reads {watts:g} W" in refusal(clock, gpu, gpu_energy="power")


def test_a_counter_that_fails_for_another_reason_is_not_taken_for_a_gpu_without_one(
    clock: Clock, gpu: FakeGpu
) -> None:
    gpu.counter_error = GpuError("the GPU is lost")
    assert refusal(clock, gpu) == "the GPU is lost"


def test_an_unknown_way_of_reading_is_the_callers_mistake(clock: Clock, gpu: FakeGpu) -> None:
    with pytest.raises(ValueError, match="gpu_energy is one of auto, counter, power, got 'volts'"):
        GpuMeter([gpu], clock=clock, in_background=False, gpu_energy="volts")


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


# Counter against integrated power


@pytest.mark.parametrize(
    ("factor", "seconds", "flagged"),
    [(0.94, 12.0, True), (1.06, 12.0, True), (1.0, 12.0, False), (1.04, 12.0, False), (1.5, 9.9, False)],
)
def test_counter_and_power_that_differ_by_over_5_percent_over_10_seconds_are_flagged(
    clock: Clock, gpu: FakeGpu, factor: float, seconds: float, flagged: bool
) -> None:
    gpu.power_factor = factor
    meter = metered(FakeGpu(clock, 1), gpu, clock=clock)
    spent_j(meter, clock, seconds)
    meter.stop()
    assert meter.flags() == (("counter_power_disagree",) if flagged else ())
    assert meter.observed()["counter_over_power"] == pytest.approx(1 / factor, rel=1e-3)


def test_power_is_compared_over_the_very_window_of_the_readings(clock: Clock) -> None:
    """Samples from `start` on, and from before a slow first reading, are no part of it."""
    meter = metered(FakeGpu(clock, steps=((0.0, 700.0), (5.0, 70.0))), clock=clock)
    clock.advance(5.0)
    assert spent_j(meter, clock, 12.0) == pytest.approx(840.0)
    clock.advance(30.0)
    assert meter.observed()["power_integral_j"] == pytest.approx(840.0)


def test_integrated_power_is_not_checked_against_itself(clock: Clock, gpu: FakeGpu) -> None:
    gpu.power_factor = 2.0
    meter = metered(gpu, clock=clock, gpu_energy="power")
    assert spent_j(meter, clock, 12.0) == pytest.approx(1680.0)
    assert meter.flags() == ()
    assert meter.observed()["counter_over_power"] is None


def test_a_modules_counter_is_not_checked_against_the_power_of_its_gpu(clock: Clock, gpu: FakeGpu) -> None:
    gpu.counts_a_module, gpu.power_factor = True, 0.5
    meter = metered(gpu, clock=clock, allow_module_scope=True)
    spent_j(meter, clock, 12.0)
    assert meter.flags() == ()
    assert meter.observed()["counter_over_power"] is None


# Flags


@pytest.mark.parametrize(
    "flag", ["throttled_thermal", "throttled_power_brake", "throttled_hardware", "power_capped"]
)
def test_clocks_held_down_in_a_look_are_flagged(clock: Clock, gpu: FakeGpu, flag: str) -> None:
    meter = metered(gpu, clock=clock)
    clock.advance(1.05)
    gpu.throttled = frozenset({flag})
    clock.advance(1.0)
    gpu.throttled = frozenset()
    clock.advance(5.0)
    meter.stop()
    assert meter.flags() == (flag,)


def test_looks_are_once_a_second(clock: Clock, gpu: FakeGpu) -> None:
    meter = metered(gpu, clock=clock)
    gpu.throttled = frozenset({"power_capped"})
    clock.advance(0.95)
    gpu.throttled = frozenset()
    assert meter.flags() == ()


@pytest.mark.parametrize(("cause", "flag"), [("thermal", "throttled_thermal"), ("power", "power_capped")])
@pytest.mark.parametrize(("held_s", "flagged"), [(0.09, False), (0.11, True)])
def test_clocks_held_down_for_over_1_percent_of_the_window_are_flagged(
    clock: Clock, gpu: FakeGpu, cause: str, flag: str, held_s: float, flagged: bool
) -> None:
    meter = metered(FakeGpu(clock, 1), gpu, clock=clock)
    clock.advance(10.0)
    assert gpu.held_s is not None
    gpu.held_s = dict(gpu.held_s) | {cause: gpu.held_s[cause] + held_s}
    meter.stop()
    assert meter.flags() == ((flag,) if flagged else ())
    assert meter.observed()["violation_s"][cause] == pytest.approx(held_s)


def test_a_count_of_held_down_seconds_that_went_back_is_unknown(clock: Clock, gpu: FakeGpu) -> None:
    meter = metered(gpu, FakeGpu(clock, 1), clock=clock)
    clock.advance(10.0)
    gpu.held_s = {"thermal": 0.0}
    meter.stop()
    assert meter.flags() == ()
    assert meter.observed()["violation_s"] == {"power": None, "thermal": None}


def test_a_gpu_that_does_not_say_why_it_is_slow_is_flagged(clock: Clock, gpu: FakeGpu) -> None:
    gpu.throttled = None
    assert metered(gpu, clock=clock).flags() == ("throttling_unknown",)


@pytest.mark.parametrize(
    ("limits_w", "flags"),
    [
        ((99.5, 100.0), ("power_limit_lowered",)),
        ((100.0, 100.0), ()),
        ((None, 100.0), ()),
        ((99.0, None), ()),
    ],
)
def test_a_lowered_power_limit_is_flagged(
    clock: Clock, gpu: FakeGpu, limits_w: tuple[float | None, float | None], flags: tuple[str, ...]
) -> None:
    gpu.limits_w = limits_w
    assert metered(gpu, clock=clock).flags() == flags


OWN, PARENT = os.getpid(), os.getppid()


@pytest.mark.parametrize(
    ("lists", "flags", "sees"),
    [
        ([set()], (), None),
        ([{OWN}], (), True),
        ([{OWN, PARENT}], ("foreign_process",), True),
        ([{2**22 + 1}], ("processes_not_identifiable",), False),
        ([{PARENT}, {OWN}], ("foreign_process",), True),
        ([{OWN}, set(), set()], (), True),
        ([None], ("processes_not_identifiable",), None),
        ([{OWN}, None], ("processes_not_identifiable",), True),
    ],
    ids=["nobody", "own", "own and parent", "gone", "parent, own", "own and idle", "unknown", "own, unknown"],
)
def test_processes_of_others_are_flagged_and_ours_are_not(
    clock: Clock,
    gpu: FakeGpu,
    lists: list[set[int] | None],
    flags: tuple[str, ...],
    sees: bool | None,
) -> None:
    """The lists of one run's looks, one after another."""
    gpu.pids = frozenset()
    meter = metered(gpu, clock=clock)
    for pids in lists:
        gpu.pids = None if pids is None else frozenset(pids)
        clock.advance(1.1)
    gpu.pids = frozenset()
    meter.stop()
    assert meter.flags() == flags
    assert meter.observed()["container_sees_processes"] is sees


def test_our_process_on_one_gpu_tells_who_is_foreign_on_another(clock: Clock, gpu: FakeGpu) -> None:
    other = FakeGpu(clock, 1)
    gpu.pids, other.pids = frozenset({OWN}), frozenset({PARENT})
    assert metered(gpu, other, clock=clock).flags() == ("foreign_process",)


def test_what_is_seen_after_stop_belongs_to_nobody(clock: Clock, gpu: FakeGpu) -> None:
    meter = metered(gpu, clock=clock)
    meter.stop()
    gpu.throttled, gpu.pids = frozenset({"power_capped"}), None
    clock.advance(5.0)
    meter.stop()
    assert meter.flags() == ()


def test_flags_last_until_the_next_start(clock: Clock, gpu: FakeGpu) -> None:
    gpu.throttled = frozenset({"throttled_thermal"})
    meter = metered(gpu, clock=clock)
    gpu.throttled = frozenset()
    clock.advance(3.0)
    assert meter.flags() == ("throttled_thermal",)
    meter.start()
    assert meter.flags() == ()


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
