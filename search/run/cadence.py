"""When to evaluate next: seldom far from the target, often near it, from the losses alone.

The decision reads no clock and no meter, so that a run repeats exactly. Costs are counted in training steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from model.config import RunConfig
from model.metric import STRAY
from model.progress import EvaluationResult

# At the target, evaluations come this share of the steps apart: with rounding, just under the 2 % that the
# crossing's interval may be wide.
AT_TARGET = 0.019
# The most steps between two evaluations, as a share of those so far: FAR until the first whole evaluation,
# which comes where the target is near; NEAR from then on, once the tenth below is used up.
FAR, NEAR = 0.2, 0.03
# Away from the target no evaluation costs more than a tenth of the steps that come before the next.
WAIT_PER_COST = 10.0

# All evaluations together may cost the largest of: a tenth of the steps so far, five whole evaluations (most
# crossings need three and a half), a hundred steps (seconds). Beyond that they come OVER_BUDGET apart.
BUDGET_SHARE = 0.10
BUDGET_WHOLE = 5.0
BUDGET_STEPS = 100.0
OVER_BUDGET = 0.05

# The forecast is a straight line through the evaluations since MEMORY of the steps so far, at least
# FEWEST.
MEMORY, FEWEST = 0.5, 3


def evaluation_cost_steps(config: RunConfig, validation_tokens: int) -> float:
    """A whole evaluation's cost in training steps: forward only against forward and backward.

    On one CPU thread the measured ratio was 48 for nanoGPT's CPU recipe (counted 48) and 33 for a smaller
    model in bf16 (counted 36); evaluation is always in fp32.
    """
    passed = validation_tokens * config.windows.passed_per_scored
    return passed / (3.0 * config.tokens_per_step)


def steps_until_evaluation(
    results: Sequence[EvaluationResult],
    target_loss: float,
    longest: int,
    whole_cost: float,
    stray: float = STRAY,
) -> int:
    """Steps to train before the next evaluation: 1 to `longest`, or more if evaluating would otherwise take
    longer than training.

    `whole_cost` is what a whole evaluation costs, in steps. `stray`: see `model.metric.Metric`.
    """
    step = results[-1].step if results else 0
    cheapest = whole_cost * min((one.share for one in results), default=0.0)
    spent = whole_cost * math.fsum(one.share for one in results) + whole_cost  # the next may be a whole one
    widest = max(_widest(results, spent <= BUDGET_SHARE * step) * step, WAIT_PER_COST * cheapest)
    wait = max(AT_TARGET * step, min(steps_to_early_edge(results, target_loss, stray), widest))
    if spent > max(BUDGET_SHARE * (step + wait), BUDGET_WHOLE * whole_cost, BUDGET_STEPS):
        wait = max(wait, OVER_BUDGET * step)
    return max(1, min(int(wait), longest), math.ceil(spent - step))


def _widest(results: Sequence[EvaluationResult], in_budget: bool) -> float:
    if not any(one.whole for one in results):
        return FAR
    return AT_TARGET if in_budget else NEAR


def steps_to_early_edge(
    results: Sequence[EvaluationResult], target_loss: float, stray: float = STRAY
) -> float:
    """Steps until the forecast of the loss, less one standard error, reaches the target: 0 if it has already,
    inf if it never will or there are too few losses to tell.

    The line is fitted by weighted least squares, and its error grows with the distance from the points. So a
    forecast from few or scattered losses is trusted for a few steps, and one from a clear trend all the way.
    """
    recent = [one for one in _recent(results) if math.isfinite(one.loss)]
    if len(recent) < 2:
        return math.inf
    weights = [1.0 / (stray**2 + (0.0 if one.whole else one.stderr**2)) for one in recent]

    def weighted(values: Iterable[float]) -> float:
        return math.fsum(weight * value for weight, value in zip(weights, values, strict=True))

    total = math.fsum(weights)
    middle = weighted(one.step for one in recent) / total
    level = weighted(one.loss for one in recent) / total
    width = weighted((one.step - middle) ** 2 for one in recent)
    slope = weighted((one.step - middle) * (one.loss - level) for one in recent) / width
    now = results[-1].step - middle
    return _meets_its_error(level - target_loss, slope, 1.0 / total, 1.0 / width, now) - now


def _recent(results: Sequence[EvaluationResult]) -> Sequence[EvaluationResult]:
    since = MEMORY * results[-1].step if results else 0.0
    return results[-max(FEWEST, sum(one.step >= since for one in results)) :]


def _meets_its_error(height: float, slope: float, variance: float, growth: float, now: float) -> float:
    """The first t >= now where height + slope t is no more than sqrt(variance + growth t^2), or inf."""
    if height + slope * now <= math.sqrt(variance + growth * now * now):
        return now
    a, b, c = slope * slope - growth, height * slope, height * height - variance
    if a == 0.0 or b * b < a * c:
        return math.inf
    root = math.sqrt(b * b - a * c)
    return min((t for t in ((-b - root) / a, (-b + root) / a) if t > now), default=math.inf)
