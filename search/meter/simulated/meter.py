"""A machine that is not there: GPUs and RAPL packages that play a `Program` over a clock.

The rules of measuring live in `gpu.meter` and `cpu.rapl` and ask the hardware through a seam; here a
simulator answers instead of NVML or sysfs. So each rule is tested without hardware, and `meter=simulated`
runs a study on the very code that measures. Its joules are modelled, and say so.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.meter.base import Meter
from search.meter.cpu.powercap import Domain, PowercapError
from search.meter.gpu.library import GpuError
from search.meter.simulated.program import Program, temperature_c
from search.record.flags import Flag
from search.record.meter_info import Kind

SAMPLE_WINDOW_S, SAMPLE_PERIOD_S = 0.025, 0.1  # A100 and H100, arXiv 2312.02741
PERIODIC_S = 0.1

Clock = Callable[[], float]


class FakeClock:
    """Seconds that pass when told to. `every` is called ten times a second while they pass, like a meter's
    thread."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s
        self.every: Callable[[], None] | None = None
        self._next_s = now_s + PERIODIC_S

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.every is not None and self._next_s <= end_s:
            self.now_s = max(self.now_s, self._next_s)
            self._next_s += PERIODIC_S
            self.every()
        self.now_s = end_s
        self._next_s = max(self._next_s, end_s - PERIODIC_S)


class _Device:
    """What GPUs and packages have in common: when they fail, and what their counter has counted."""

    def __init__(self, program: Program, index: int, clock: Clock, origin_s: float) -> None:
        self._program, self._clock, self._origin_s = program, clock, origin_s
        self._index, self._faulty = index, program.at_fault(index)

    @property
    def now_s(self) -> float:
        return self._clock() - self._origin_s

    def fails(self) -> bool:
        since, until = self._program.unreadable_from_s, self._program.unreadable_until_s
        return self._faulty and _since(since, self.now_s) and not _since(until, self.now_s)

    def counted_j(self) -> float:
        """Joules since the meter was opened, as of the last tick."""
        program, now_s = self._program, self.now_s
        seen_s = now_s
        if self._faulty and program.frozen_from_s is not None:
            seen_s = min(now_s, program.frozen_from_s)
        if program.tick_s > 0:
            seen_s = math.floor(seen_s / program.tick_s + 1e-9) * program.tick_s
        return program.profile.energy_j(seen_s)

    def base_j(self) -> float:
        """What is added to `counted_j`: where the counter started, less what a reset took away."""
        program = self._program
        if self._faulty and _since(program.resets_at_s, self.now_s):
            assert program.resets_at_s is not None
            return -program.profile.energy_j(program.resets_at_s)
        return program.start_j


class SimulatedGpu:
    """Answers as NVML does (see `gpu.library.Gpu`)."""

    def __init__(self, program: Program, index: int, clock: Clock, origin_s: float) -> None:
        self._program = program
        self._index = index
        self._device = _Device(program, index, clock, origin_s)

    @property
    def uuid(self) -> str:
        return f"GPU-{self._index:08d}-51d0-4e57-8000-000000000000"

    @property
    def name(self) -> str:
        return "simulated GPU"

    @property
    def counts_a_module(self) -> bool:
        return self._program.module_scope and self._program.at_fault(self._index)

    def counter_mj(self) -> int:
        self._answer()
        if not self._program.counter:
            raise GpuError(f"{self.uuid} has no energy counter", unsupported=True)
        if self._program.reads_zero and self._program.at_fault(self._index):
            return 0
        return math.floor(1000.0 * (self._device.base_j() + self._device.counted_j()) + 1e-6)

    def power_mw(self) -> int:
        self._answer()
        program, now_s = self._program, self._device.now_s
        faulty = program.at_fault(self._index)
        if program.power_reading == "none":
            raise GpuError(f"{self.uuid} has no power reading", unsupported=True)
        if faulty and _since(program.power_unreadable_from_s, now_s):
            raise GpuError(f"the power of {self.uuid} cannot be read")
        if program.power_reading == "instant":
            start_s = math.floor((now_s - SAMPLE_WINDOW_S) / SAMPLE_PERIOD_S + 1e-9) * SAMPLE_PERIOD_S
            watts = program.profile.mean_power_w(start_s, start_s + SAMPLE_WINDOW_S)
        else:
            watts = program.profile.mean_power_w(now_s - program.average_s, now_s)
        return round(1000.0 * watts * (program.power_gain if faulty else 1.0))

    def power_is_instantaneous(self) -> bool:
        return self._program.power_reading == "instant"

    def mig_enabled(self) -> bool:
        return self._program.mig and self._program.at_fault(self._index)

    def temperature_c(self) -> float | None:
        return None if self._device.fails() else temperature_c(self._program, self._device.now_s)

    def processes(self) -> frozenset[int] | None:
        own = os.getpid() if self._program.sees_processes else 2**22 + 1  # beyond what Linux numbers
        foreign = _since(self._program.foreign_from_s, self._device.now_s)
        return frozenset({own, 1} if foreign else {own})

    def throttle_flags(self) -> frozenset[Flag] | None:
        now_s = self._device.now_s
        return frozenset(Flag(flag) for start, end, flag in self._program.throttled if start <= now_s < end)

    def violation_s(self) -> Mapping[str, float] | None:
        now_s = self._device.now_s

        def held_s(wanted: Flag) -> float:
            return math.fsum(
                max(0.0, min(now_s, end) - start)
                for start, end, flag in self._program.throttled
                if flag == wanted
            )

        return {"thermal": held_s(Flag.THROTTLED_THERMAL), "power": held_s(Flag.POWER_CAPPED)}

    def clocks_mhz(self) -> Mapping[str, float] | None:
        return {"sm": 1000.0 if self.throttle_flags() else 1500.0, "memory": 2000.0}

    def power_limits_w(self) -> tuple[float | None, float | None]:
        return self._program.power_limit_w, self._program.default_power_limit_w

    def describe(self) -> Mapping[str, Any]:
        return {"uuid": self.uuid, "name": self.name}

    def _answer(self) -> None:
        if self._program.forbidden and self._program.at_fault(self._index):
            raise GpuError(f"this user may not read {self.uuid}")
        if self._device.fails():
            raise GpuError(f"{self.uuid} is lost")


class SimulatedPowercap:
    """Answers as sysfs does (see `cpu.powercap.Powercap`)."""

    def __init__(self, program: Program, clock: Clock, origin_s: float) -> None:
        self._program = program
        self._packages = [_Device(program, index, clock, origin_s) for index in range(program.devices)]

    def domains(self) -> Sequence[Domain]:
        program, range_uj = self._program, round(1e6 * self._program.range_j)
        found = []
        for index in range(program.devices):
            zone = f"intel-rapl:{index}"
            found.append(Domain(zone, f"package-{index}", range_uj, program.max_power_w))
            found.append(Domain(f"{zone}:0", "core", range_uj))
            if program.dram_w is not None:
                found.append(Domain(f"{zone}:1", "dram", range_uj))
        if program.psys:
            found.append(Domain(f"intel-rapl:{program.devices}", "psys", range_uj))
        return found

    def energy_uj(self, domain: Domain) -> int:
        index = 0 if domain.name == "psys" else int(domain.zone.split(":")[1])
        package = self._packages[index]
        if self._program.forbidden and self._program.at_fault(index):
            raise PowercapError(f"{domain.zone} may be read by root only", forbidden=True)
        if package.fails():
            raise PowercapError(f"{domain.zone} cannot be read")
        if self._program.reads_zero and self._program.at_fault(index):
            return 0
        if domain.name == "dram":
            joules = (self._program.dram_w or 0.0) * package.now_s
        else:
            joules = (package.base_j() + package.counted_j()) * (2.0 if domain.name == "psys" else 1.0)
        return math.floor(1e6 * joules + 1e-3) % (domain.range_uj + 1)


def simulated_meter(
    program: Program, clock: Clock = time.perf_counter, *, in_background: bool = True
) -> Meter:
    """The meter of a machine that plays `program` from now on. Without `in_background` nothing samples by
    itself: give the meter's `sample` to `FakeClock.every`. Raises MeterUnavailable as real ones do."""
    from search.meter.cpu.rapl import RaplMeter
    from search.meter.gpu.meter import GpuMeter

    origin_s = clock()
    if program.serves == "rapl":
        powercap = SimulatedPowercap(program, clock, origin_s)
        return RaplMeter(
            powercap, clock=clock, in_background=in_background, name="simulated", kind=Kind.MODELLED
        )
    gpus = [SimulatedGpu(program, index, clock, origin_s) for index in range(program.devices)]
    return GpuMeter(
        gpus,
        clock=clock,
        in_background=in_background,
        counter_period_s=program.tick_s,
        name="simulated",
        kind=Kind.MODELLED,
    )


def _since(start_s: float | None, now_s: float) -> bool:
    return start_s is not None and now_s >= start_s
