"""Whether a run can still matter, by the forecast of its loss: a pure function of where it stands.

It matters where it reaches the target by the last step of its schedule, and before it has spent more than a
rival that would then dominate it. What a step costs is taken from the whole run so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from model.metric import LOSS, METRICS, Metric
from search.record.crossing import CurvePoint
from search.record.forecast import Forecast, Foreseen, Schedule
from search.record.limits import Rival
from search.record.objective import OBJECTIVES, Spent, objective_values
from search.run.stopping import limit_of

# Before this share of the schedule's summed learning rates, nothing is foreseen.
EARLIEST = 0.15


def foresee(
    point: CurvePoint,
    spent: Spent,
    schedule: Schedule,
    forecast: Forecast,
    target_loss: float,
    objectives: Sequence[str],
    rivals: Sequence[Rival],
) -> Foreseen | None:
    """What is foreseen at the evaluation `point` where the chance is too small; None where it is not."""
    if point.step < 1 or schedule.share_done(point.step) < EARLIEST:
        return None
    until = min(schedule.steps, _dominated_at(point.step, spent, objectives, rivals))
    if until <= point.step:
        return None
    stderr = 0.0 if point.whole else point.loss_stderr
    chance = forecast.chance_below(target_loss, point.loss, stderr, schedule.left(point.step, until))
    if not chance < forecast.chance:
        return None
    return Foreseen(point.step, point.energy_j, point.loss, until, chance, forecast.chance, forecast.audit)


def in_words(foreseen: Foreseen, metric: Metric = METRICS[LOSS]) -> str:
    """Why a run is ended."""
    return (
        f"forecast: at step {foreseen.step} the {metric.name} was {metric.shown(foreseen.loss):.4f}; it "
        f"reaches the target by step {foreseen.until}, when it would end, with a chance of "
        f"{100 * foreseen.chance:.2g} %"
    )


def _dominated_at(step: int, spent: Spent, objectives: Sequence[str], rivals: Sequence[Rival]) -> int:
    """The step at which a run that goes on at its mean cost has spent, of everything, what a rival needed;
    beyond any schedule where none does that."""
    values = objective_values(objectives, spent)
    never = 2**31
    if values is None:
        return never
    found = never
    for rival in rivals:
        needed = dict(zip(objectives, rival.values, strict=True))
        shares = [
            _share(values[name], limit_of(name, needed[name], rival.margin), name) for name in objectives
        ]
        if all(map(math.isfinite, shares)):
            found = min(found, math.ceil(step * max(shares)))
    return found


def _share(value: float, limit: float, name: str) -> float:
    """By how much the run so far must be multiplied until it has spent the limit: of what does not depend on
    where it ends, it has all from the start."""
    if not OBJECTIVES[name].by_luck:
        return 0.0 if value >= limit else math.inf
    return limit / value if value > 0 else math.inf
