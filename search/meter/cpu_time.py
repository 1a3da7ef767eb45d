"""Estimated joules of a CPU: busy core-seconds of this process and its children, times configured watts.

    energy_j = watts_per_core * busy_core_s + static_w * seconds

The fallback for machines that expose no energy counter, such as most virtual machines. It sees neither
memory nor frequency, so it ranks configurations on one machine at one thread count and says little across
machines.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from search.meter.base import MeterSpec, Reading
from search.trial import Kind

# Shares of one core over the run's time above which a run is flagged.
FOREIGN_LOAD = 0.10
WAITED = 0.05


class CpuTimeMeter:
    """Reads this process. `clock` is monotonic seconds; `busy` the core-seconds that this run may be
    charged."""

    def __init__(
        self,
        watts_per_core: float,
        static_w: float,
        clock: Callable[[], float] = time.perf_counter,
        busy: Callable[[], float] | None = None,
    ) -> None:
        self._watts_per_core = watts_per_core
        self._static_w = static_w
        self._clock = clock
        self._busy = busy or process_tree_core_s
        self._origin_s = clock()
        self._start = self._load()

    @property
    def spec(self) -> MeterSpec:
        return MeterSpec(
            name="cpu_time",
            kind=Kind.ESTIMATED,
            update_period_s=0.0,
            resolution_j=1e-6,
            devices=("cpu",),
            settings={"watts_per_core": self._watts_per_core, "static_w": self._static_w},
        )

    def read(self) -> Reading:
        try:
            busy_core_s = self._busy()
        except (OSError, psutil.Error) as error:
            return Reading(
                self._clock(), None, f"the CPU time of the run's processes cannot be read: {error}"
            )
        now = self._clock()
        energy_j = self._watts_per_core * busy_core_s + self._static_w * (now - self._origin_s)
        return Reading(now, energy_j, busy_core_s=busy_core_s)

    def start(self) -> None:
        self._start = self._load()

    def flags(self) -> Sequence[str]:
        """`foreign_cpu_load`, `cpu_contended` (waited for a core), `cpu_stolen` (by the hypervisor), or
        `cpu_load_unknown`."""
        start, end = self._start, self._load()
        if start is None or end is None:
            return ("cpu_load_unknown",)
        seconds = end.time_s - start.time_s
        if seconds <= 0:
            return ()
        shares = {
            "foreign_cpu_load": ((end.machine_s - start.machine_s) - (end.own_s - start.own_s), FOREIGN_LOAD),
            "cpu_contended": (end.waited_s - start.waited_s, WAITED),
            "cpu_stolen": (end.stolen_s - start.stolen_s, WAITED),
        }
        return tuple(name for name, (used_s, limit) in shares.items() if used_s / seconds > limit)

    def close(self) -> None:
        pass

    def _load(self) -> _Load | None:
        try:
            times, own_s = psutil.cpu_times(), self._busy()
        except (OSError, psutil.Error):  # `read` says so
            return None
        busy = ("user", "nice", "system", "irq", "softirq")  # not every platform tells them apart
        machine_s = sum(getattr(times, name, 0.0) for name in busy)
        return _Load(self._clock(), own_s, machine_s, getattr(times, "steal", 0.0), run_queue_wait_s())


class _Load:
    """Core-seconds since boot or start: of this run, of the whole machine, waited for a core, stolen."""

    __slots__ = ("machine_s", "own_s", "stolen_s", "time_s", "waited_s")

    def __init__(
        self, time_s: float, own_s: float, machine_s: float, stolen_s: float, waited_s: float
    ) -> None:
        self.time_s, self.own_s, self.machine_s = time_s, own_s, machine_s
        self.stolen_s, self.waited_s = stolen_s, waited_s


def process_tree_core_s() -> float:
    """Core-seconds of this process, of its ended children, and of those that still run, theirs included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in _live_children():
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:  # it ended just now, and counts from the next reading on
            continue
        total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


def run_queue_wait_s() -> float:
    """Seconds that this process' main thread was ready to run and had no core (Linux; 0.0 where it does not
    say)."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def _live_children() -> list[psutil.Process]:
    """Looking for children walks every process there is; the kernel says in one call that there are none."""
    if sys.platform == "linux":
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return []
    return psutil.Process().children(recursive=True)
