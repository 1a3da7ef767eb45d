"""What a run's GPUs show beside joules: other processes, clocks held down, power limits."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from search.meter.gpu.library import Gpu
from search.record.flags import Flag

HELD_DOWN_SHARE = 0.01  # of the window: below it, clocks held down did not move the result

_HELD_DOWN = {"thermal": Flag.THROTTLED_THERMAL, "power": Flag.POWER_CAPPED}
_ROUNDING_W = 0.5  # a driver may round the limit that it is given


class GpuWatch:
    """One run's checks of its GPUs. Knows no clock and no thread: the meter says when, and one at a time.

    `power_limit_w`: what each GPU is held to on purpose, None for nothing. That it holds the clocks down is
    then what was asked for; a limit below it still is somebody else's."""

    def __init__(self, gpus: Sequence[Gpu], power_limit_w: float | None = None) -> None:
        self._gpus = gpus
        self._asked_w = power_limit_w
        self._seen: set[Flag] = set()
        self._processes = _Processes()
        self._sm_mhz: list[float] = []
        self._since: _Violations | None = None
        self._latest: _Violations | None = None

    def check(self, now_s: float) -> None:
        for gpu in self._gpus:
            throttled = gpu.throttle_flags()
            self._seen |= {Flag.THROTTLING_UNKNOWN} if throttled is None else throttled
            limit_w, default_w = gpu.power_limits_w()
            expected_w = default_w if self._asked_w is None else self._asked_w - _ROUNDING_W
            if limit_w is not None and expected_w is not None and limit_w < expected_w:
                self._seen.add(Flag.POWER_LIMIT_LOWERED)
        self._processes.check([gpu.processes() for gpu in self._gpus])
        self._latest = _Violations(now_s, [gpu.violation_s() for gpu in self._gpus])
        self._since = self._since or self._latest

    def sample_clocks(self) -> None:
        """Kept apart from `check`, which also runs before and after the work, when clocks say nothing."""
        clocks = [gpu.clocks_mhz() for gpu in self._gpus]
        self._sm_mhz += [mhz["sm"] for mhz in clocks if mhz is not None and "sm" in mhz]

    def flags(self) -> set[Flag]:
        """See `GpuMeter.flags`."""
        held_down = {
            flag
            for cause, flag in _HELD_DOWN.items()
            if any(s is not None and s > HELD_DOWN_SHARE * self._window_s for s in self._held_down_s(cause))
        }
        on_purpose = set() if self._asked_w is None else {Flag.POWER_CAPPED}
        return (self._seen | self._processes.flags() | held_down) - on_purpose

    def observed(self) -> dict[str, Any]:
        """See `GpuMeter.observed`."""
        limits_w = [gpu.power_limits_w()[0] for gpu in self._gpus]
        known_w = [limit_w for limit_w in limits_w if limit_w is not None]
        return {
            "clock_sm_mean_mhz": sum(self._sm_mhz) / len(self._sm_mhz) if self._sm_mhz else None,
            "clock_sm_min_mhz": min(self._sm_mhz, default=None),
            "power_limit_w": sum(known_w) if len(known_w) == len(limits_w) else None,
            "violation_s": {cause: _worst(self._held_down_s(cause)) for cause in _HELD_DOWN},
            "container_sees_processes": self._processes.ours_are_listed,
        }

    @property
    def _window_s(self) -> float:
        if self._since is None or self._latest is None:
            return 0.0
        return self._latest.time_s - self._since.time_s

    def _held_down_s(self, cause: str) -> list[float | None]:
        """For each GPU, the seconds between the first check and the last; None where it does not say."""
        if self._since is None or self._latest is None:
            return [None for _ in self._gpus]
        pairs = zip(self._since.by_gpu, self._latest.by_gpu, strict=True)
        return [_difference(first, last, cause) for first, last in pairs]


class _Violations:
    """Seconds since driver load that clocks were held down, by GPU and cause, at one moment."""

    __slots__ = ("by_gpu", "time_s")

    def __init__(self, time_s: float, by_gpu: Sequence[Mapping[str, float] | None]) -> None:
        self.time_s, self.by_gpu = time_s, by_gpu


class _Processes:
    """What the process lists of a run's GPUs have shown.

    A process of ours on any of them shows that the driver numbers processes as we do; in a container, a
    host's number that happens to be one of ours would be taken for it.
    """

    def __init__(self) -> None:
        self._ours = self._others = self._unlisted = False

    def check(self, lists: Sequence[frozenset[int] | None]) -> None:
        self._unlisted |= None in lists
        if self._ours and self._others:  # nothing more to learn, and finding ancestors is costly
            return
        for pid in {pid for pids in lists if pids is not None for pid in pids}:
            ours = _is_ours(pid)
            self._ours |= ours
            self._others |= not ours

    @property
    def ours_are_listed(self) -> bool | None:
        """Whether our own processes are in the driver's lists; None where those were always empty."""
        return self._ours if self._ours or self._others else None

    def flags(self) -> set[Flag]:
        flags: set[Flag] = set()
        if self._ours and self._others:
            flags.add(Flag.FOREIGN_PROCESS)
        if self._unlisted or (self._others and not self._ours):
            flags.add(Flag.PROCESSES_NOT_IDENTIFIABLE)
        return flags


def _is_ours(pid: int) -> bool:
    """Whether `pid` is this process or descends from it. Walks up from `pid`, which is cheaper than listing
    down."""
    own = os.getpid()
    try:
        return pid == own or any(parent.pid == own for parent in psutil.Process(pid).parents())
    except psutil.Error:
        return False


def _difference(
    first: Mapping[str, float] | None, last: Mapping[str, float] | None, cause: str
) -> float | None:
    if first is None or last is None or cause not in first or cause not in last:
        return None
    seconds = last[cause] - first[cause]
    return seconds if seconds >= 0 else None  # it went back: the driver was reloaded


def _worst(seconds: Sequence[float | None]) -> float | None:
    """The longest over the GPUs, None where one of them does not say."""
    known = [s for s in seconds if s is not None]
    return max(known) if len(known) == len(seconds) else None
