"""The smallest number of steps at which a recipe reaches its target on nearly every seed, from few runs.

The end loss is taken to be a line over the logarithm of the steps, with the same seed noise in every arm.
Both hold near the boundary (measured on nanoGPT's CPU recipe and its rivals), which is where the runs are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from search.confirm.intervals import REACH_LEVEL, critical, level_of_look
from search.confirm.settings import ConfirmSettings

# Measured on nanoGPT's CPU recipe and its rivals: 0.05 to 0.15 nats less for every doubling of the steps, and
# end losses of fresh seeds that spread by 0.002 to 0.011 nats. Weak priors: a few runs outweigh them.
SLOPE, SLOPE_SD = -0.14, 0.07  # nats for each e-fold of the steps
NOISE, NOISE_DF = 0.0065, 2
# A length is decided where the cautious boundary lies within this share of the plain one, after so many runs,
# one of them within NEAR of it.
CLOSE, FEWEST, NEAR = 0.08, 3, 0.1
CONFIDENCE = 0.9
_FARTHEST = math.log(2.0)  # beyond the lengths that have run
_GRID = 0.002  # in ln(steps)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EndLoss:
    """The loss of one run at the end of its schedule of `steps` steps; inf where it diverged."""

    steps: int
    loss: float
    seed: int


@dataclass(frozen=True)
class LengthFit:
    """`steps` is the fitted length, None while undecided and where given up; `next_steps` the length of the
    run that decides most, None where none is needed. `mean_loss` and `share` (of fresh seeds that reach the
    target) are predicted at `steps`, or at `next_steps` until then; `sigma` is the seed noise. Losses in nats
    per token."""

    steps: int | None
    next_steps: int | None
    mean_loss: float | None
    sigma: float
    share: float | None
    runs: int
    reason: str


def fit_lengths(
    arms: Mapping[str, Sequence[EndLoss]],
    start: Mapping[str, int],
    target_loss: float,
    settings: ConfirmSettings,
    n_arms: int,
) -> dict[str, LengthFit]:
    """The fit of every arm of `start`, which says the length of its first run, from the runs so far.

    A length satisfies both: the mean end loss lies below the target by what the first look of the reach
    clause needs, of `n_arms` confirmed arms, and the predicted share of seeds that reach the target is
    `settings.share` or more.
    """
    lines = {arm: _line(arms.get(arm, ()), start[arm]) for arm in start}
    df = NOISE_DF + sum(max(0, line.n - 1) for line in lines.values())
    squares = NOISE_DF * NOISE**2 + sum(line.squares for line in lines.values())
    noise = math.sqrt(squares / df)
    level = level_of_look(settings.seeds, REACH_LEVEL, settings, settings.candidates)
    margin = critical(level, max(1, n_arms * (settings.seeds - 1))) / math.sqrt(settings.seeds)
    need = _Need(target_loss, margin, settings.share, noise, df)
    return {arm: _fit(arms.get(arm, ()), start[arm], lines[arm], need, settings) for arm in start}


@dataclass(frozen=True)
class _Line:
    """Posterior of intercept and slope over ln(steps / start). `covariance` is in units of the squared noise;
    `squares` are the squared residuals, of the runs and of the slope from its prior."""

    n: int
    intercept: float
    slope: float
    covariance: Floats
    squares: float

    def mean(self, x: Floats) -> Floats:
        return self.intercept + self.slope * x

    def variance(self, x: Floats) -> Floats:
        (aa, ab), (_, bb) = self.covariance
        along: Floats = aa + 2 * ab * x + bb * x * x
        return along.clip(0.0)


@dataclass(frozen=True)
class _Need:
    """What a length must satisfy; `margin` in units of the noise."""

    target_loss: float
    margin: float
    share: float
    noise: float
    df: int

    def share_at(self, line: _Line, x: Floats, survive: float) -> Floats:
        """The predicted share of fresh seeds that reach the target (Student's predictive distribution)."""
        scale = self.noise * np.sqrt(1 + line.variance(x))
        reach = special.stdtr(self.df, (self.target_loss - line.mean(x)) / scale)
        shares: Floats = np.multiply(survive, reach, dtype=np.float64)
        return shares

    def boundary(self, line: _Line, x: Floats, cautious: bool, survive: float) -> float | None:
        """The smallest of `x` that satisfies both, as the line stands or with its standard error on top."""
        if survive <= self.share:
            return None
        caution = critical(1 - CONFIDENCE, self.df) if cautious else 0.0
        mean = line.mean(x) + caution * self.noise * np.sqrt(line.variance(x))
        holds = mean + self.margin * self.noise <= self.target_loss
        if cautious:
            holds &= self.share_at(line, x, survive) >= self.share
        else:
            holds &= mean + critical(1 - self.share / survive, self.df) * self.noise <= self.target_loss
        return float(x[holds.argmax()]) if holds.any() else None


def _line(runs: Sequence[EndLoss], start: int) -> _Line:
    """Conjugate Bayesian regression (Gelman et al., Bayesian Data Analysis, chapter 14): flat in the
    intercept, normal in the slope."""
    finite = [run for run in runs if math.isfinite(run.loss)]
    x = np.array([math.log(run.steps / start) for run in finite])
    y = np.array([run.loss for run in finite])
    weight = (NOISE / SLOPE_SD) ** 2
    if not finite:
        return _Line(0, math.nan, SLOPE, np.diag([math.inf, 1 / weight]), 0.0)
    precision = np.array([[len(x), x.sum()], [x.sum(), x @ x + weight]])
    covariance = np.linalg.inv(precision)
    intercept, slope = covariance @ np.array([y.sum(), x @ y + weight * SLOPE])
    residuals = y - intercept - slope * x
    squares = float(residuals @ residuals + weight * (slope - SLOPE) ** 2)
    return _Line(len(x), float(intercept), float(slope), covariance, squares)


def _fit(
    runs: Sequence[EndLoss], start: int, line: _Line, need: _Need, settings: ConfirmSettings
) -> LengthFit:
    n = len(runs)
    diverged = n - line.n
    if diverged and 1 - diverged / settings.fit_runs < settings.share:
        reason = f"{diverged} of {n} runs diverged, so that too few seeds would reach the target"
        return LengthFit(None, None, None, need.noise, None, n, reason)
    if not line.n:
        return LengthFit(None, start, None, need.noise, None, n, "no run has ended yet")
    survive = 1 - diverged / n
    lengths = [math.log(run.steps / start) for run in runs]
    x = np.arange(min(lengths) - _FARTHEST, max(lengths) + _FARTHEST + _GRID, _GRID)
    plain = need.boundary(line, x, False, survive)
    cautious = need.boundary(line, x, True, survive)
    found = cautious is not None and _is_decided(cautious, plain, lengths)
    if n >= settings.fit_runs and cautious is not None:
        found = min(lengths) - NEAR <= cautious <= max(lengths) + NEAR
    if found and cautious is not None:
        return _at(cautious, start, line, need, survive, n, f"decided after {n} runs")
    if n >= settings.fit_runs:
        reason = f"did not reach the target on enough seeds within {n} runs"
        return LengthFit(None, None, None, need.noise, None, n, reason)
    go_to = plain if plain is not None else float(x[-1])
    next_steps = max(1, min(2 * max(r.steps for r in runs), round(start * math.exp(go_to))))
    at = np.array([math.log(next_steps / start)])
    share = float(need.share_at(line, at, survive)[0])
    reason = f"not decided after {n} run{'s' if n > 1 else ''}"
    return LengthFit(None, next_steps, float(line.mean(at)[0]), need.noise, share, n, reason)


def _is_decided(cautious: float, plain: float | None, lengths: Sequence[float]) -> bool:
    close = plain is not None and cautious - plain <= CLOSE
    near = any(abs(length - cautious) <= NEAR for length in lengths)
    return close and near and len(lengths) >= FEWEST


def _at(
    place: float, start: int, line: _Line, need: _Need, survive: float, runs: int, reason: str
) -> LengthFit:
    steps = math.ceil(start * math.exp(place))
    x = np.array([math.log(steps / start)])
    share = float(need.share_at(line, x, survive)[0])
    return LengthFit(steps, None, float(line.mean(x)[0]), need.noise, share, runs, reason)
