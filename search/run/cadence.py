"""When to evaluate next: seldom far from the target, often near it, from the losses alone.

The decision reads no clock and no meter, so that a run repeats exactly. Costs are counted in training steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from model.config import RunConfig
from model.progress import EvaluationResult

# At the target, evaluations come this share of the steps apart: with rounding, just under the 2 % that the
# crossing's interval may be wide.
AT_TARGET = 0.019
# The most steps between two evaluations, as a share of those so far: until the first whole evaluation, which
# comes where the target is near; and from then on, when a look is cheap, once the tenth below is used up.
FAR, NEAR = 0.2, 0.03
# Away from the target no look costs more than a tenth of the steps that come before the next.
WAIT_PER_COST = 10.0

# Evaluations may cost a tenth of the steps so far, or what is more: five whole ones (three and a half is what
# most crossings need), or a hundred steps, which last seconds. Beyond that they come OVER_BUDGET apart.
BUDGET_SHARE = 0.10
BUDGET_WHOLE = 5.0
BUDGET_STEPS = 100.0
OVER_BUDGET = 0.05

# The forecast is a straight line through the looks since MEMORY of the steps so far, at least FEWEST. STRAY
# is how far, in nats, a loss strays from its trend from one look to the next: on recorded runs of nanoGPT's
# CPU recipe 0.010 early, 0.006 midway and 0.004 late.
MEMORY, FEWEST = 0.5, 3
STRAY = 0.005


def evaluation_cost_steps(config: RunConfig, validation_tokens: int) -> float:
    """A whole evaluation's cost in training steps: forward only against forward and backward.

    On one CPU thread the measured ratio was 48 for nanoGPT's CPU recipe (counted 48) and 33 for a smaller
    model in bf16 (counted 36); evaluation is always in fp32.
    """
    return validation_tokens / (3.0 * config.tokens_per_step)


def steps_until_evaluation(
    looks: Sequence[EvaluationResult], target_loss: float, longest: int, whole_cost: float
) -> int:
    """Steps to train before the next evaluation: 1 to `longest`, or more where evaluating would otherwise
    take longer than training.

    `whole_cost` is what a whole evaluation costs, in steps.
    """
    step = looks[-1].step if looks else 0
    cheapest = whole_cost * min((look.share for look in looks), default=0.0)
    spent = whole_cost * math.fsum(look.share for look in looks) + whole_cost  # the next may be a whole one
    widest = max(_widest(looks, spent <= BUDGET_SHARE * step) * step, WAIT_PER_COST * cheapest)
    wait = max(AT_TARGET * step, min(steps_to_early_edge(looks, target_loss), widest))
    if spent > max(BUDGET_SHARE * (step + wait), BUDGET_WHOLE * whole_cost, BUDGET_STEPS):
        wait = max(wait, OVER_BUDGET * step)
    return max(1, min(int(wait), longest), math.ceil(spent - step))


def _widest(looks: Sequence[EvaluationResult], in_budget: bool) -> float:
    if not any(look.whole for look in looks):
        return FAR
    return AT_TARGET if in_budget else NEAR


def steps_to_early_edge(looks: Sequence[EvaluationResult], target_loss: float) -> float:
    """Steps until the forecast of the loss, less one standard error, reaches the target: 0 where it has
    already, inf where it never will or nothing can be said.

    The line is fitted by weighted least squares, and its error grows with the distance from the points. So a
    forecast from few or scattered looks is followed a little way, and one from a plain trend all the way.
    """
    recent = [look for look in _recent(looks) if math.isfinite(look.loss)]
    if len(recent) < 2:
        return math.inf
    weights = [1.0 / (STRAY**2 + (0.0 if look.whole else look.stderr**2)) for look in recent]

    def weighted(values: Iterable[float]) -> float:
        return math.fsum(weight * value for weight, value in zip(weights, values, strict=True))

    total = math.fsum(weights)
    middle = weighted(look.step for look in recent) / total
    level = weighted(look.loss for look in recent) / total
    width = weighted((look.step - middle) ** 2 for look in recent)
    slope = weighted((look.step - middle) * (look.loss - level) for look in recent) / width
    now = looks[-1].step - middle
    return _meets_its_error(level - target_loss, slope, 1.0 / total, 1.0 / width, now) - now


def _recent(looks: Sequence[EvaluationResult]) -> Sequence[EvaluationResult]:
    since = MEMORY * looks[-1].step if looks else 0.0
    return looks[-max(FEWEST, sum(look.step >= since for look in looks)) :]


def _meets_its_error(height: float, slope: float, variance: float, growth: float, now: float) -> float:
    """The first t >= now where height + slope t is no more than sqrt(variance + growth t^2), or inf."""
    if height + slope * now <= math.sqrt(variance + growth * now * now):
        return now
    a, b, c = slope * slope - growth, height * slope, height * height - variance
    if a == 0.0 or b * b < a * c:
        return math.inf
    root = math.sqrt(b * b - a * c)
    return min((t for t in ((-b - root) / a, (-b + root) / a) if t > now), default=math.inf)
