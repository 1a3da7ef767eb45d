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
# Where the forecast lies within this many times the steps so far, the target is near, and evaluations come at
# least every NEAR_SHARE of the steps so far: that share is then about the width of the crossing's interval.
NEAR = 2.0
NEAR_SHARE = 0.08
# Where the loss did not fall there is no forecast; the target is near if no more than these nats are missing.
NEAR_LOSS = 0.1


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
    if not (math.isfinite(loss_a) and math.isfinite(loss_b)) or loss_b >= loss_a or step_a < 1:
        return _clamped(
            NEAR_SHARE * step_b if loss_b - target_loss < NEAR_LOSS else longest, shortest, longest
        )
    slope = (loss_b - loss_a) / math.log(step_b / step_a)
    exponent = (target_loss - loss_b) / slope
    if exponent > math.log(NEAR):
        far = step_b * (math.exp(min(exponent, 50.0)) - 1.0) * UNDERSHOOT
        return _clamped(far, shortest, longest)
    return _clamped(
        min(step_b * (math.exp(exponent) - 1.0) * UNDERSHOOT, NEAR_SHARE * step_b), shortest, longest
    )


def _clamped(steps: float, shortest: int, longest: int) -> int:
    return int(max(shortest, min(longest, steps)))
