"""What a meter flags: power beside the counter, clocks held down, limits, processes of others."""

from __future__ import annotations

import os

import pytest
from fake_gpu import Clock, FakeGpu, metered, spent_j

from model.config import DeviceConfig, RunConfig
from search.meter.base import WorkDone
from search.meter.gpu.meter import GpuMeter
from search.record.flags import Flag


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gpu(clock: Clock) -> FakeGpu:
    return FakeGpu(clock)


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


@pytest.mark.parametrize(
    ("held_w", "flags"),
    [
        (None, ("power_capped", "power_limit_lowered")),
        (80.0, ()),
        (90.0, ("power_limit_lowered",)),  # somebody else lowered what the run had set
    ],
)
def test_what_a_run_sets_on_purpose_is_not_flagged(
    clock: Clock, gpu: FakeGpu, held_w: float | None, flags: tuple[str, ...]
) -> None:
    gpu.limits_w = (80.0, 100.0)
    gpu.throttled = frozenset({Flag.POWER_CAPPED})
    config = RunConfig(device=DeviceConfig(power_limit_w=held_w))
    meter = GpuMeter([gpu], clock=clock, in_background=False)
    clock.sample = meter.sample
    meter.start(WorkDone(config, vocab_size=65))
    gpu.held_s = {"power": 9.0, "thermal": 7.0}
    clock.advance(10.0)
    meter.stop()
    assert meter.flags() == flags


def test_heat_is_flagged_whatever_a_run_sets(clock: Clock, gpu: FakeGpu) -> None:
    gpu.throttled = frozenset({Flag.THROTTLED_THERMAL})
    meter = GpuMeter([gpu], clock=clock, in_background=False)
    device = DeviceConfig(power_limit_w=80.0, sm_clock_mhz=600)
    meter.start(WorkDone(RunConfig(device=device), vocab_size=65))
    meter.stop()
    assert meter.flags() == ("throttled_thermal",)


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
