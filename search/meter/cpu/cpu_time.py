"""Estimated joules of a CPU: busy core-seconds of this process and its children, times configured watts.

    energy_j = watts_per_core * busy_core_s + static_w * seconds

The fallback for machines that expose no energy counter, such as most virtual machines. It sees neither
memory nor frequency, so it ranks configurations on one machine at one thread count and says little across
machines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from search.energy.counter_check import Counter
from search.meter.base import MeterSpec, Reading, WorkDone
from search.meter.cpu.load import CpuLoad, Load
from search.meter.cpu.process_tree import process_tree_core_s
from search.record.flags import Flag
from search.record.meter_info import Kind


class CpuTimeMeter:
    """Reads this process. `clock` is monotonic seconds; `busy` the core-seconds that this run may be charged;
    `load` watches the machine (by default, with the same two)."""

    def __init__(
        self,
        watts_per_core: float,
        static_w: float,
        clock: Callable[[], float] = time.perf_counter,
        busy: Callable[[], float] = process_tree_core_s,
        load: Load | None = None,
    ) -> None:
        self._watts_per_core = watts_per_core
        self._static_w = static_w
        self._clock = clock
        self._busy = busy
        self._load = load or CpuLoad(clock, busy)
        self._origin_s = clock()

    @property
    def spec(self) -> MeterSpec:
        return MeterSpec(
            name="cpu_time",
            kind=Kind.ESTIMATED,
            counter=Counter(0.0, 1e-6),
            devices=("cpu",),
            settings={"watts_per_core": self._watts_per_core, "static_w": self._static_w},
        )

    def start(self, work: WorkDone | None = None) -> None:
        self._load.start()

    def read(self) -> Reading:
        try:
            busy_core_s = self._busy()
        except (OSError, psutil.Error) as error:
            return Reading(
                self._clock(), None, f"the CPU time of the run's processes cannot be read: {error}"
            )
        now = self._clock()
        self._load.look()
        energy_j = self._watts_per_core * busy_core_s + self._static_w * (now - self._origin_s)
        return Reading(now, energy_j, temperature_c=self._load.temperature_c())

    def stop(self) -> None:
        self._load.stop()

    def flags(self) -> Sequence[Flag]:
        """What `cpu_load` raises."""
        return self._load.flags()

    def observed(self) -> Mapping[str, Any]:
        return self._load.observed()

    def close(self) -> None:
        pass
