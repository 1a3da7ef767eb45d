"""How much of a run's cost the luck of its seed moves."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from search.confirm.fit import NOISE, NOISE_DF, SLOPE, SLOPE_SD, EndLoss

# Measured seed noise of 0.0065 nats over a slope of 0.14 nats an e-fold of the steps, on nanoGPT's CPU recipe
# for characters, is 4.6 % of the steps; times LUCKY that is 8 %, rounded up.
UNSEEN_MARGIN = 0.10
LUCKY = 1.64  # standard deviations: one seed in twenty is luckier
FLATTEST = 0.05  # nats an e-fold; runs on a plateau would make the margin as wide as one likes


def seed_margin(recipes: Collection[Sequence[EndLoss]], per_nat: float = 1.0) -> float:
    """The share of a run's cost that one seed in twenty saves by luck alone; `UNSEEN_MARGIN` where no recipe
    ran twice.

    A run that is luckier by d nats crosses the target at d / slope fewer ln(steps), so the margin is the seed
    noise over the slope, times `LUCKY`. Both are those of one line for each recipe over ln(steps), all of the
    same slope and noise, with the weak priors of `fit`. Losses that are not finite are left out; `per_nat`
    turns others into nats (see `model.metric.Metric`).
    """
    finite = [[run for run in runs if math.isfinite(run.loss)] for runs in recipes]
    groups = [[replace(run, loss=run.loss / per_nat) for run in runs] for runs in finite]
    df = sum(len(runs) - 1 for runs in groups if runs)
    if not df:
        return UNSEEN_MARGIN
    pairs = [pair for runs in groups if runs for pair in _centred(runs)]
    pull = (NOISE / SLOPE_SD) ** 2
    xx, xy = math.fsum(x * x for x, _ in pairs), math.fsum(x * y for x, y in pairs)
    slope = (xy + pull * SLOPE) / (xx + pull)
    squares = math.fsum((y - slope * x) ** 2 for x, y in pairs) + pull * (slope - SLOPE) ** 2
    noise = math.sqrt((NOISE_DF * NOISE**2 + squares) / (NOISE_DF + df))
    return LUCKY * noise / max(-slope, FLATTEST)


def _centred(runs: Sequence[EndLoss]) -> list[tuple[float, float]]:
    """ln(steps) and loss of each run, minus their means."""
    x, y = [math.log(run.steps) for run in runs], [run.loss for run in runs]
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    return [(one - mean_x, other - mean_y) for one, other in zip(x, y, strict=True)]
