"""How far two runs of one configuration and one seed differ in what they cost: the noise floor of a study.

A meter's tick is the smallest part of a joule's error. What else the machine does, its caches, its clocks and
its heat move a run's energy far more. So a study runs its baseline several times and says how far those runs
differ. A ratio within that floor says nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy import special

from search.record.outcome import Outcome, Role
from search.record.record import Record

CONFIDENCE = 0.95


@dataclass(frozen=True)
class NoiseSettings:
    """`runs` of the baseline at least; further ones, up to `max_runs`, while the floor is above `enough` and
    the best trial is not clear of it."""

    runs: int = 2
    max_runs: int = 4
    enough: float = 0.1


@dataclass(frozen=True)
class NoiseFloor:
    """`floor` by objective: 0.06 means that one more run of the baseline would cost between 1/1.06 and 1.06
    times what these did. None where fewer than two runs reached the target: not known, which is not zero."""

    trials: tuple[int, ...]
    floor: Mapping[str, float | None]

    def holds(self, objective: str, ratio: float) -> bool:
        """Whether a candidate at `ratio` of the baseline may be no more than one more run of the baseline."""
        floor = self.floor.get(objective)
        return bool(floor) and ratio > 0 and abs(math.log(ratio)) <= math.log1p(floor or 0.0)


def baseline_runs(records: Sequence[Record]) -> tuple[Record, ...]:
    """The runs of the baseline that reached the target, in their order."""
    return tuple(r for r in records if r.role is Role.BASELINE and r.feasible and not r.interrupted)


def reference(runs: Sequence[Record], objectives: Sequence[str]) -> Record | None:
    """The run that stands for the baseline: the median by the first objective in which the runs differ. Of an
    even number it is the lower one, so that a ratio to it claims too little rather than too much."""
    ranked = sorted(runs, key=in_order(objectives))
    return ranked[(len(ranked) - 1) // 2] if ranked else None


def in_order(objectives: Sequence[str]) -> Callable[[Record], tuple[float, ...]]:
    """The key by which runs rank: where objectives are equal, as counts are, later ones decide."""
    return lambda record: tuple(record.values[name] for name in objectives)


def can_rank(record: Record, objectives: Sequence[str]) -> bool:
    """Whether it reached the target and has a value of every objective."""
    if not record.feasible or record.interrupted:
        return False
    return all(math.isfinite(record.values.get(name, math.nan)) for name in objectives)


def decided_by(best: Record, baseline: Record, objectives: Sequence[str]) -> str:
    """The first objective in which the two differ; the first of all where there is none."""
    differing = (name for name in objectives if best.values[name] != baseline.values[name])
    return next(differing, objectives[0])


def noise_floor(records: Sequence[Record], objectives: Sequence[str]) -> NoiseFloor:
    runs = [r for r in baseline_runs(records) if all(name in r.values for name in objectives)]
    return NoiseFloor(
        tuple(record.trial for record in runs),
        {name: relative_floor([record.values[name] for record in runs]) for name in objectives},
    )


def relative_floor(values: Sequence[float]) -> float | None:
    """Half-width of the 95 % prediction interval for one more run, as a share of the geometric mean.

    With s the standard deviation of the n logarithms: exp(t(0.975, n - 1) s sqrt(1 + 1/n)) - 1 (Hahn and
    Meeker, Statistical Intervals, 1991, section 4.7). Two runs bound it loosely, t being 12.7. None below two
    runs, or where a value is not positive.
    """
    n = len(values)
    if n < 2 or min(values) <= 0:
        return None
    spread = statistics.stdev(map(math.log, values))
    quantile = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return math.expm1(min(quantile * spread * math.sqrt(1 + 1 / n), 700.0))


def another_baseline(records: Sequence[Record], objectives: Sequence[str], settings: NoiseSettings) -> bool:
    """Whether the baseline must run once more before the study can say how much noise is in its numbers.

    It runs at least once after the last trial, so that its runs lie at both ends of the study.
    """
    runs = baseline_runs(records)
    attempts = [record for record in records if record.role is Role.BASELINE and not record.interrupted]
    if not runs or settings.runs < 2 or len(attempts) >= settings.max_runs or not _tried(records):
        return False
    if len(runs) < settings.runs or _last_is_a_trial(records):
        return True
    tried = [r for r in records if r.role is Role.SEARCH and r.outcome is Outcome.REACHED]
    best, middle = min(tried, key=in_order(objectives), default=None), reference(runs, objectives)
    if best is None or middle is None:
        return False
    noise, objective = noise_floor(records, objectives), decided_by(best, middle, objectives)
    ratio = best.values[objective] / middle.values[objective]
    return (noise.floor[objective] or 0.0) > settings.enough and noise.holds(objective, ratio)


def _tried(records: Sequence[Record]) -> bool:
    return any(record.role is Role.SEARCH for record in records)


def _last_is_a_trial(records: Sequence[Record]) -> bool:
    return next((r.role is not Role.BASELINE for r in reversed(records) if not r.interrupted), False)
