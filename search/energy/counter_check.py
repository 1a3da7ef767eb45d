"""Whether a cumulative counter can be believed: it never goes back, and under power it never stands still."""

from __future__ import annotations

from dataclasses import dataclass

# A counter that has not moved for this long, or for this many of its update periods, is taken to be frozen:
# a device that is on draws watts.
FROZEN_AFTER_S = 2.0
FROZEN_AFTER_PERIODS = 20.0


@dataclass(frozen=True)
class Counter:
    """What must be known of a counter to judge its readings.

    `update_period_s` is how often it moves (0: continuous). `clocked`: whether it moves as time passes while
    its device works, so that standing still means frozen; a modelled one moves with the work alone.
    """

    update_period_s: float = 0.0
    resolution_j: float = 0.0
    clocked: bool = True


@dataclass(frozen=True)
class CounterCheck:
    """A counter's latest value, in any unit, and since when it has had it."""

    value: float
    since_s: float

    def went_back(self, value: float) -> bool:
        """Whether it was reset: by its device, its driver, or a reboot."""
        return value < self.value

    def after(self, value: float, time_s: float) -> CounterCheck:
        return self if value == self.value else CounterCheck(value, time_s)

    def frozen_s(self, time_s: float, update_period_s: float = 0.0) -> float | None:
        """For how long it has not moved, if that is longer than a working counter ever takes; else None."""
        still_s = time_s - self.since_s
        patience_s = max(FROZEN_AFTER_S, FROZEN_AFTER_PERIODS * update_period_s)
        return still_s if still_s > patience_s else None
