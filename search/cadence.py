"""When to evaluate next: sparsely far from the target, densely near it, from the losses alone.

The decision reads no clock and no meter, so that a run repeats exactly. Costs are counted in training steps:
a forward pass costs a third of forward plus backward per token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from model.config import RunConfig

# Go this share of the way to the forecast crossing: a forecast that is late costs joules, one that is early
# costs a look.
UNDERSHOOT = 0.7
# The target is near where the forecast lies within this many times the steps so far, or where no more than
# these nats are missing. Evaluations then come at least every NEAR_SHARE of the steps so far: that share is
# about the width of the crossing's interval.
NEAR_FACTOR = 2.0
NEAR_LOSS = 0.1
NEAR_SHARE = 0.08


def evaluation_cost_steps(config: RunConfig, validation_tokens: int) -> float:
    """An evaluation's cost in training steps (forward only against forward and backward)."""
    return validation_tokens / (3.0 * config.tokens_per_step)


def steps_until_evaluation(
    curve: Sequence[tuple[int, float]], target_loss: float, longest: int, shortest: int
) -> int:
    """Steps to train before the next evaluation, within [shortest, longest].

    The forecast is a straight line in log(step) through the last two evaluations. `shortest` is what an
    evaluation costs in steps, so that evaluating takes no longer than training.
    """
    shortest = min(shortest, longest)
    if len(curve) < 2:
        return max(shortest, min(longest, 2 * shortest))
    (step_a, loss_a), (step_b, loss_b) = curve[-2], curve[-1]
    forecast = _log_step_ratio(step_a, loss_a, step_b, loss_b, target_loss)
    gap = UNDERSHOOT * step_b * math.expm1(min(forecast, 50.0))
    if forecast <= math.log(NEAR_FACTOR) or loss_b - target_loss <= NEAR_LOSS:
        gap = min(gap, NEAR_SHARE * step_b)
    return int(max(shortest, min(longest, gap)))


def _log_step_ratio(step_a: int, loss_a: float, step_b: int, loss_b: float, target_loss: float) -> float:
    """ln(forecast crossing / step_b); infinite where the loss does not fall."""
    if not (math.isfinite(loss_a) and math.isfinite(loss_b)) or loss_b >= loss_a or step_a < 1:
        return math.inf
    return (target_loss - loss_b) * math.log(step_b / step_a) / (loss_b - loss_a)
