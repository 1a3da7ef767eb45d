"""GPUs that no reading stands for alone are refused, and the refusal says what to do."""

from __future__ import annotations

from typing import Any

import pytest
from fake_gpu import Clock, FakeGpu, metered, spent_j

from search.errors import MeterUnavailable
from search.meter.gpu.library import Gpu, GpuError
from search.meter.gpu.meter import GpuMeter


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gpu(clock: Clock) -> FakeGpu:
    return FakeGpu(clock)


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
