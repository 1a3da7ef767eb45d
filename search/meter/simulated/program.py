"""A program for the simulator: watts by time, the device that turns them into readings, and what goes wrong
when."""

from __future__ import annotations

import difflib
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, get_type_hints

from model.config import ConfigError
from search.record.flags import Flag

CLOCK_FLAGS = (Flag.THROTTLED_THERMAL, Flag.THROTTLED_POWER_BRAKE, Flag.THROTTLED_HARDWARE, Flag.POWER_CAPPED)


@dataclass(frozen=True)
class PowerProfile:
    """Watts by time. A step is (second, watts) and holds until the next one; the first is at second 0, and
    holds before it too. With `repeat_s` the first `repeat_s` seconds repeat for ever, before second 0 too."""

    steps: tuple[tuple[float, float], ...]
    repeat_s: float | None = None

    def power_w(self, time_s: float) -> float:
        """Watts at `time_s`; at a step, those of the step."""
        now = time_s if self.repeat_s is None else time_s % self.repeat_s
        index = bisect_right([since for since, _ in self.steps], now)
        return self.steps[max(0, index - 1)][1]

    def energy_j(self, time_s: float) -> float:
        """Exact joules from second 0 to `time_s`; negative before it."""
        if self.repeat_s is None:
            return self._once_j(time_s)
        periods, rest_s = divmod(time_s, self.repeat_s)
        return periods * self._once_j(self.repeat_s) + self._once_j(rest_s)

    def mean_power_w(self, start_s: float, end_s: float) -> float:
        """Over a window that is not empty."""
        return (self.energy_j(end_s) - self.energy_j(start_s)) / (end_s - start_s)

    def _once_j(self, time_s: float) -> float:
        if time_s < 0:
            return self.steps[0][1] * time_s
        ends = [since for since, _ in self.steps[1:]] + [math.inf]
        return math.fsum(
            watts * max(0.0, min(time_s, end) - since)
            for (since, watts), end in zip(self.steps, ends, strict=True)
        )


@dataclass(frozen=True)
class Program:
    """What `meter=simulated` plays. Every `_s` is seconds since the meter was opened, null for never.

    `serves`: gpu (what NVML offers) or rapl (what powercap offers). `devices`: GPUs or packages; each draws
    the whole profile. `fault_device`: the one that has the faults, null for all.

    GPUs: the counter moves every `tick_s` in whole millijoules. `power_reading` is instant (the mean of the
    first 25 ms of every 100 ms), average (over `average_s`) or none, times `power_gain`. `foreign_from_s`:
    another process computes there. `sees_processes` false: the driver numbers processes as another machine
    does. `throttled`: [from, to, flag].

    Packages: the counter starts at `start_j` and wraps at `range_j`; `dram_w` and `psys` add those domains.

    `unreadable_from_s` and `_until_s`: reading fails meanwhile. `forbidden`: for lack of permission, from the
    start.
    """

    serves: str = "gpu"
    steps: tuple[tuple[float, float], ...] = ((0.0, 50.0),)
    repeat_s: float | None = None
    devices: int = 1
    fault_device: int | None = None
    tick_s: float = 0.1
    counter: bool = True
    power_reading: str = "instant"
    average_s: float = 1.0
    power_gain: float = 1.0
    mig: bool = False
    module_scope: bool = False
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    foreign_from_s: float | None = None
    sees_processes: bool = True
    throttled: tuple[tuple[float, float, str], ...] = ()
    ambient_c: float | None = 30.0
    kelvin_per_w: float = 0.1
    thermal_time_s: float = 30.0
    start_j: float = 1000.0
    range_j: float = 262143.328850
    max_power_w: float | None = None
    dram_w: float | None = None
    psys: bool = False
    reads_zero: bool = False
    frozen_from_s: float | None = None
    resets_at_s: float | None = None
    unreadable_from_s: float | None = None
    unreadable_until_s: float | None = None
    power_unreadable_from_s: float | None = None
    forbidden: bool = False

    def __post_init__(self) -> None:
        _need(self.serves in ("gpu", "rapl"), "serves", "gpu or rapl", self.serves)
        _need(
            self.power_reading in ("instant", "average", "none"),
            "power_reading",
            "instant, average or none",
            self.power_reading,
        )
        times = [since for since, _ in self.steps]
        _need(
            times[:1] == [0] and times == sorted(set(times)) and min(watts for _, watts in self.steps) >= 0,
            "steps",
            "[[0, watts], [second, watts], ...] with rising seconds and no negative watts",
            [list(step) for step in self.steps],
        )
        for name in ("devices", "average_s", "thermal_time_s", "range_j"):
            _need(getattr(self, name) > 0, name, "more than 0", getattr(self, name))
        _need(0 <= self.tick_s <= 0.1, "tick_s", "from 0 (moves all the time) to 0.1", self.tick_s)
        _need(self.repeat_s is None or self.repeat_s > 0, "repeat_s", "null or more than 0", self.repeat_s)
        for _, _, flag in self.throttled:
            _need(
                flag in CLOCK_FLAGS,
                "throttled",
                f"[from, to, flag] with a flag of {', '.join(CLOCK_FLAGS)}",
                flag,
            )

    @property
    def profile(self) -> PowerProfile:
        return PowerProfile(self.steps, self.repeat_s)

    def at_fault(self, device: int) -> bool:
        return self.fault_device is None or self.fault_device == device

    @staticmethod
    def from_mapping(values: Mapping[str, Any]) -> Program:
        """Raises ConfigError for an unknown key or an invalid value."""
        known = get_type_hints(Program)
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there is: {', '.join(known)}"
                raise ConfigError(f"there is no key meter.simulated.{key}; {hint}")
        try:
            whole = {key: _frozen(value) for key, value in values.items()}
            return Program(**whole)
        except (TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"meter.simulated holds a value of a wrong type: {error}") from error


def temperature_c(program: Program, time_s: float) -> float | None:
    """The temperature of a body that warms towards ambient + kelvin_per_w x watts with one time constant, and
    starts at rest with nothing drawn."""
    if program.ambient_c is None:
        return None
    edges = sorted({0.0, time_s, *_edges(program, time_s)})
    rise = 0.0
    for start, end in pairwise(edges):
        goal = program.kelvin_per_w * program.profile.power_w(start)
        rise = goal + (rise - goal) * math.exp(-(end - start) / program.thermal_time_s)
    return program.ambient_c + rise


def _edges(program: Program, until_s: float) -> list[float]:
    """Where the power changes within the last ten time constants, which is all that a body remembers."""
    once = [since for since, _ in program.steps]
    if program.repeat_s is None:
        return [since for since in once if 0 < since < until_s]
    since_s = max(0.0, until_s - 10 * program.thermal_time_s)
    first = math.floor(since_s / program.repeat_s)
    periods = accumulate(
        [program.repeat_s] * (math.ceil((until_s - since_s) / program.repeat_s) + 1),
        initial=first * program.repeat_s,
    )
    return [edge for period in periods for since in once if 0 < (edge := period + since) < until_s]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _need(holds: bool, key: str, expected: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"meter.simulated.{key} must be {expected}, got {value}")
