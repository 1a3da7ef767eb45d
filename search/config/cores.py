"""How many cores this process may use: what a scheduler, a container or `taskset` granted."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Cores:
    """`allowed` are those that the process may run on; `quota` the cores' worth of time a second that its
    control groups grant, None without one."""

    allowed: int
    quota: float | None = None

    @property
    def threads(self) -> int:
        """The most threads that can all run at once, and all the time."""
        return self.allowed if self.quota is None else max(1, min(self.allowed, math.floor(self.quota)))

    def describe(self) -> str:
        """`2 cores`, or the quota where that is less."""
        if self.quota is not None and self.quota < self.allowed:
            return f"a CPU quota of {self.quota:g} cores"
        return "1 core" if self.allowed == 1 else f"{self.allowed} cores"


def allowed_cores() -> list[int]:
    """The numbers of those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_cores(proc: Path = PROC, cgroups: Path = CGROUPS) -> Cores:
    return Cores(len(allowed_cores()), min(_quotas(proc, cgroups), default=None))


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """The quotas of every control group that this process is in, the outer ones included."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        own = Path(group.lstrip("/"))
        for path in (own, *own.parents):
            if not controllers:
                yield from _quota_of_v2(cgroups / path)
            elif "cpu" in controllers.split(","):
                yield from _quota_of_v1(cgroups / controllers / path)
                yield from _quota_of_v1(cgroups / "cpu" / path)


def _quota_of_v2(folder: Path) -> Iterator[float]:
    """`cpu.max` holds "max 100000", or microseconds and the period that they are granted in."""
    words = _words(folder / "cpu.max")
    if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]) > 0:
        yield int(words[0]) / int(words[1])


def _quota_of_v1(folder: Path) -> Iterator[float]:
    """-1 is no quota."""
    quota, period = _words(folder / "cpu.cfs_quota_us"), _words(folder / "cpu.cfs_period_us")
    if quota and period and quota[0].isdigit() and period[0].isdigit() and int(period[0]) > 0:
        yield int(quota[0]) / int(period[0])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
