"""What the runs of a study teach about how far a loss still falls. Pure.

Bayesian regression of the fall on what was left (`record.forecast`), from the runs that came to an evaluation
of the whole validation part late in their schedule: between that and one earlier evaluation in each stretch
of the schedule. Its prior is weak: a handful of runs outweigh it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from model.config import ConfigError
from search.record.crossing import CurvePoint
from search.record.forecast import Forecast, Schedule, spread_of
from search.record.outcome import Role
from search.record.record import Record

# From 26 runs of at most three layers over tinyshakespeare: the two weights, the scatter in nats, and how
# many runs that weighs as much as.
PROGRESS, DECAY, SCATTER, WEIGHS = 0.23, 0.12, 0.11, 4
# The loss that no training gets below, as a share of the target; where earlier evaluations are looked for, as
# shares of the summed rates; and where in the schedule the last evaluation must lie.
FLOOR = 0.7
EARLIER = (0.2, 0.4, 0.6, 0.8)
LATE = 0.8
# The latest so many runs teach it: they are most like the next one, and looking at them takes no time.
MOST_RUNS = 60


def learnt_forecast(records: Sequence[Record], chance: float = 0.0, audit: bool = False) -> Forecast:
    """By a study's runs so far. `chance` and `audit` are for the run that is to be ended by it.

    An error rate falls in the same form, by `per_nat` of what a loss does, and a forecast of it is learnt
    from that prior.
    """
    per_nat = records[-1].metric.per_nat if records else 1.0
    floor = FLOOR * max((record.target_loss for record in records), default=0.0)  # 0 of a run that seeks one
    rows: list[tuple[float, float, float, float]] = []
    runs = 0
    for record in reversed(records):
        found = _falls(record, floor) if record.role is Role.SEARCH else []
        rows += found
        runs += bool(found)
        if runs == MOST_RUNS:
            break
    decay, prior_scatter = DECAY * per_nat, SCATTER * per_nat
    prior = np.diag([1 / PROGRESS**2, 1 / decay**2]) * prior_scatter**2  # known to within their own size
    mean = np.array([PROGRESS, decay])
    table = np.array(rows).reshape(-1, 4)
    x, y, weights = table[:, :2], table[:, 2], table[:, 3]
    precision = prior + (x * weights[:, None]).T @ x
    covariance = np.linalg.inv(precision)
    weights_of = covariance @ (prior @ mean + (x * weights[:, None]).T @ y)
    squares = float(weights @ (y - x @ weights_of) ** 2) + WEIGHS * prior_scatter**2
    df = WEIGHS + runs
    scatter = math.sqrt(squares / (WEIGHS + float(len(rows))))
    return Forecast(
        progress=float(weights_of[0]),
        decay=float(weights_of[1]),
        covariance=(float(covariance[0, 0]), float(covariance[0, 1]), float(covariance[1, 1])),
        scatter=scatter,
        df=df,
        floor=floor,
        runs=runs,
        chance=chance,
        audit=audit,
    )


def _falls(record: Record, floor: float) -> list[tuple[float, float, float, float]]:
    """(what `progress` multiplies, what `decay` multiplies, the fall in nats, its weight) between the run's
    last whole evaluation and one earlier in each stretch; none where it ended before `LATE`."""
    try:
        schedule = record.schedule
    except ConfigError:  # of another version
        return []
    whole = [point for point in record.curve if point.whole]
    if not whole or not LATE * schedule.steps <= whole[-1].step <= schedule.steps:
        return []
    last = whole[-1]
    found = []
    for earlier in _one_in_each(record.curve, schedule, last):
        left = schedule.left(earlier.step, last.step)
        spread = math.hypot(
            spread_of(left), 0.0 if earlier.whole else earlier.loss_stderr / (SCATTER * record.metric.per_nat)
        )
        fall = earlier.loss - last.loss
        found.append(((earlier.loss - floor) * left.progress, left.decay, fall, 1.0 / spread**2))
    return found


def _one_in_each(curve: Sequence[CurvePoint], schedule: Schedule, last: CurvePoint) -> list[CurvePoint]:
    """The first evaluation after each of `EARLIER`, before the last."""
    before = [point for point in curve if 1 <= point.step < last.step]
    found = []
    for low, high in pairwise((*EARLIER, 1.0)):
        found += [point for point in before if low <= schedule.share_done(point.step) < high][:1]
    return found


def expected_end(record: Record, forecast: Forecast) -> float | None:
    """The loss that a run of the search would have had at the end of its schedule: what it had where it came
    there, forecast where it ended before. None where it was never evaluated, or diverged."""
    finite = (point for point in reversed(record.curve) if point.step > 0 and math.isfinite(point.loss))
    last = next(finite, None)
    if last is None:
        return None
    try:
        schedule = record.schedule
    except ConfigError:
        return last.loss
    return forecast.loss(last.loss, schedule.left(min(last.step, schedule.steps), schedule.steps))
