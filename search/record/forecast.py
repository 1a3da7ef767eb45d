"""How far the loss of a run may still fall, by what the study's runs before it did: values, and their use.

With its schedule in view, a curve has two parts (the multi-power law, arXiv 2503.12811, of which this is the
linear form between two steps): a power of the sum of learning rates, and a gain for every bit that the rate
is lowered. That gain comes with a delay (the annealing momentum of arXiv 2408.11029): it follows the rate as
it was on average, with weights that fall by a factor of e in `DELAY` steps. From step s to a later step e,
with S the sum of the rates and r that average as a share of the peak,

    fall = progress x (loss(s) - floor) x ln(S(e) / S(s)) + decay x (r(s) - r(e))

A power law without the schedule takes the plateau before a cool-down for the end. Without the delay, weights
that were learnt from short cool-downs see too little of what a long one still brings. What remains
unexplained grows with what is left of the schedule: its standard deviation is `scatter` times
(ln(S(e) / S(s)) + `OF_DECAY` x (r(s) - r(e))).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

from scipy import special

from model.config import RunConfig, ScheduleConfig
from model.schedule import learning_rate

# Of a whole decay, the scatter is that of so many e-folds of the summed rates.
OF_DECAY = 0.5
# In steps. Of 5 to 60, 40 left least unexplained of runs of 120 to 360 steps over tinyshakespeare, with all
# shapes of schedule.
DELAY = 40.0


@dataclass(frozen=True)
class Foreseen:
    """The first moment at which a run had less than `threshold` of a chance to matter: at evaluation `step`,
    when it had spent so many counted joules, it was to be at the target by step `until` with probability
    `chance`. `audited`: it went on all the same."""

    step: int
    energy_j: float | None
    loss: float
    until: int
    chance: float
    threshold: float
    audited: bool


class Schedule:
    """The learning rates of a run's steps, as shares of their peak."""

    def __init__(self, config: RunConfig) -> None:
        self._delayed, self._sums = _delayed_and_sums(
            astuple(config.schedule), config.decay_steps, config.train.max_steps
        )

    @staticmethod
    def of_values(config: Mapping[str, Any]) -> Schedule:
        """Of a run's plain values. Raises ConfigError where they are those of another version."""
        return _schedule_of(*(tuple(config.get(part, {}).items()) for part in ("schedule", "train")))

    @property
    def steps(self) -> int:
        return len(self._sums)

    def left(self, step: int, until: int) -> Left:
        """Between two numbers of steps done, 1 <= step <= until <= max_steps."""
        progress = math.log(self._sums[until - 1] / self._sums[step - 1])
        return Left(progress, self._delayed[step - 1] - self._delayed[until - 1])

    def share_done(self, step: int) -> float:
        """Of the summed rates of the whole schedule."""
        return self._sums[step - 1] / self._sums[-1]


@lru_cache(maxsize=4096)
def _schedule_of(schedule: tuple[Any, ...], train: tuple[Any, ...]) -> Schedule:
    return Schedule(RunConfig.from_mapping({"schedule": dict(schedule), "train": dict(train)}))


@lru_cache(maxsize=4096)
def _delayed_and_sums(
    schedule: tuple[Any, ...], decay_steps: int, max_steps: int
) -> tuple[Sequence[float], Sequence[float]]:
    config = ScheduleConfig(*schedule)
    rates = [learning_rate(step, 1.0, config, decay_steps) for step in range(max_steps)]
    return delayed(rates), tuple(accumulate(rates))


def delayed(rates: Sequence[float]) -> tuple[float, ...]:
    """The average that the loss follows: at its peak until the rates have been there, since nothing decays
    while they warm up."""
    peak, share = max(rates), -math.expm1(-1 / DELAY)
    at_peak = rates.index(peak)
    falling = accumulate(rates[at_peak + 1 :], lambda now, rate: now + share * (rate - now), initial=peak)
    return (peak,) * at_peak + tuple(falling)


@dataclass(frozen=True)
class Left:
    """What is left of a schedule between two steps: ln of the ratio of summed rates, and by how much the
    delayed rate falls, as a share of the peak."""

    progress: float
    decay: float


@dataclass(frozen=True)
class Forecast:
    """`progress` and `decay` with their covariance (pp, pd, dd, in units of the squared scatter), the
    `scatter` in nats and its degrees of freedom, from so many runs. A run may be ended where it reaches its
    target with less than `chance`; `audit`: this one goes on all the same, to see how often that is wrong.
    """

    progress: float
    decay: float
    covariance: tuple[float, float, float]
    scatter: float
    df: int
    floor: float
    runs: int
    chance: float
    audit: bool = False

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Forecast:
        return Forecast(**{**data, "covariance": tuple(data["covariance"])})

    def loss(self, now: float, left: Left) -> float:
        """What the loss is expected to be at the later step."""
        return now - self.progress * (now - self.floor) * left.progress - self.decay * left.decay

    def deviation(self, now: float, left: Left) -> float:
        """The standard deviation of `loss`, in nats."""
        x, y = (now - self.floor) * left.progress, left.decay
        pp, pd, dd = self.covariance
        of_line = pp * x * x + 2 * pd * x * y + dd * y * y
        return self.scatter * math.sqrt(of_line + spread_of(left) ** 2)

    def chance_below(self, target_loss: float, now: float, stderr: float, left: Left) -> float:
        """The probability that the loss is at or below the target at the later step. `stderr`: how well the
        loss now is known."""
        deviation = math.hypot(self.deviation(now, left), stderr)
        if deviation == 0.0:
            return float(now <= target_loss)
        return float(special.stdtr(self.df, (target_loss - self.loss(now, left)) / deviation))


def spread_of(left: Left) -> float:
    """How much of the scatter applies: none where nothing is left."""
    return left.progress + OF_DECAY * left.decay
