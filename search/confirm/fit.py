"""The smallest number of steps at which a recipe reaches its target on nearly every seed, from few runs.

The end loss is taken to be a line over the logarithm of the steps, with the same seed noise in every arm.
Both hold near the boundary (measured on nanoGPT's CPU recipe and its rivals), which is where the runs are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from search.confirm.intervals import REACH_LEVEL, critical, level_of_look, p_above
from search.confirm.settings import ConfirmSettings

# Measured on nanoGPT's CPU recipe and its rivals: 0.05 to 0.15 nats less for every doubling of the steps, and
# end losses of fresh seeds that spread by 0.004 to 0.019 nats, by 0.011 and more in runs of some hundred
# steps. Weak priors: a few runs outweigh them. But three runs that lie on a line by luck must not, or the
# length is too short: with a prior of 0.0065, the spread of nanoGPT's own recipe, one length in three was, of
# arms that spread by 0.016. The price: where the spread is 0.0065, a length is a tenth longer than need be.
# The baseline, which is fitted by itself, keeps the prior of its own spread: a longer one flatters the rest.
SLOPE, SLOPE_SD = -0.14, 0.07  # nats for each e-fold of the steps
NOISE, NOISE_DF = 0.011, 4
NOISE_ALONE, NOISE_ALONE_DF = 0.0065, 2
# The chance that a recipe of the fitted length passes the reach clause at its first look.
POWER = 0.9
# A length holds with this confidence. It is decided where it lies within CLOSE, in ln(steps), of what it
# would be were the line and the noise known, after FEWEST runs, one of them within NEAR of it.
CONFIDENCE = 0.9
CLOSE, FEWEST, NEAR = 0.08, 3, 0.1
LEAN = 0.05  # the next run is at the plain boundary, up to so much towards the cautious one
GUESS = 0.2  # where no further run may follow, a length lies at most so far beyond those that ran
FARTHEST = math.log(2.0)  # each run lies at most so far beyond those before it
LONGEST = math.log(4.0)  # beyond the length that a fit starts from
GRID = 0.002

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Prior:
    """A standard deviation of end losses, how many degrees of freedom it weighs as much as, and a slope."""

    sd: float
    df: int
    slope: float = SLOPE
    slope_sd: float = SLOPE_SD

    def times(self, per_nat: float) -> _Prior:
        """Of what falls by `per_nat` where a loss falls by a nat."""
        return _Prior(self.sd * per_nat, self.df, self.slope * per_nat, self.slope_sd * per_nat)


_TOGETHER, _ALONE = _Prior(NOISE, NOISE_DF), _Prior(NOISE_ALONE, NOISE_ALONE_DF)


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
    by_themselves: Collection[str] = (),
    per_nat: float = 1.0,
) -> dict[str, LengthFit]:
    """The fit of every arm of `start`, which says the length of its first run, from the runs so far.

    A length satisfies both: the mean end loss lies so far below the target that the reach clause of
    `n_arms` confirmed arms holds at its first look with `POWER`, and the predicted share of seeds that reach
    the target is `settings.share` or more.

    The noise is that of all arms together, or the arm's own where that is larger; of arms `by_themselves` it
    is their own. Where one arm is noisier than the others its own runs say so only in part: with 0.011 nats
    beside two arms of 0.004 its fitted length held for the share in 7 of 10 simulated fits rather than in 9.
    `per_nat`: see `model.metric.Metric`.
    """
    together, alone_prior = _TOGETHER.times(per_nat), _ALONE.times(per_nat)
    priors = {arm: alone_prior if arm in by_themselves else together for arm in start}
    lines = {arm: _line(arms.get(arm, ()), start[arm], priors[arm]) for arm in start}
    pooled, df = _noise(lines.values(), together)
    level = level_of_look(settings.seeds, REACH_LEVEL, settings, settings.candidates)
    needed = critical(level, max(1, n_arms * (settings.seeds - 1))) + float(special.ndtri(POWER))
    margin = needed / math.sqrt(settings.seeds)
    fits = {}
    for arm, line in lines.items():
        own, own_df = _noise([line], priors[arm])
        alone = arm in by_themselves
        noise = own if alone else max(pooled, own)  # a noisier arm gets no benefit from its neighbours
        need = _Need(target_loss, margin, settings.share, noise, own_df if alone else df)
        fits[arm] = _fit(arms.get(arm, ()), start[arm], line, need, settings)
    return fits


def length_for(steps: int, gap: float, per_nat: float = 1.0) -> int | None:
    """From one run whose schedule of `steps` steps ended `gap` above the target: the length that ends as
    far below it as end losses of seeds spread. None where that is farther away than a run may lie from
    another."""
    away = (gap / per_nat + NOISE) / -SLOPE
    return math.ceil(steps * math.exp(away)) if away <= FARTHEST else None


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

    def predicted(self, line: _Line, factor: float, survive: float) -> tuple[float, float, float]:
        """At `factor` times the start: the mean end loss, the noise, and the share of fresh seeds that reach
        the target (Student's predictive distribution)."""
        x = np.array([math.log(factor)])
        mean = float(line.mean(x)[0])
        scale = self.noise * math.sqrt(1 + float(line.variance(x)[0]))
        share = survive * (1 - p_above((self.target_loss - mean) / scale, self.df))
        return mean, self.noise, share

    def boundary(self, line: _Line, x: Floats, survive: float) -> float | None:
        """The smallest of `x` that satisfies both if the line and the noise are what they seem to be."""
        if survive <= self.share:
            return None
        factor = max(self.margin, float(special.ndtri(self.share / survive)))
        return _first(x, line.mean(x) + factor * self.noise <= self.target_loss)

    def cautious_boundary(self, line: _Line, x: Floats, survive: float) -> float | None:
        """The smallest of `x` that satisfies both with `CONFIDENCE`."""
        if survive <= self.share:
            return None
        of_mean = np.sqrt(line.variance(x)) + self.margin
        of_share = _tolerance_factor(self.share / survive, line.variance(x), self.df)
        return _first(x, line.mean(x) + np.maximum(of_mean, of_share) * self.noise <= self.target_loss)


def _first(x: Floats, holds: npt.NDArray[np.bool_]) -> float | None:
    return float(x[holds.argmax()]) if holds.any() else None


def _tolerance_factor(share: float, variance: Floats, df: int) -> Floats:
    """By how many standard deviations a mean must lie below a limit for `share` of all values to do so, with
    `CONFIDENCE`: a one-sided tolerance bound in Natrella's approximation (NIST/SEMATECH e-Handbook, section
    7.2.6.3), with 1/n the `variance` of the mean in units of the squared noise."""
    z_share, z_confidence = float(special.ndtri(share)), float(special.ndtri(CONFIDENCE))
    a = 1 - z_confidence**2 / (2 * df)
    b = z_share**2 - z_confidence**2 * variance
    factor: Floats = (z_share + np.sqrt(z_share**2 - a * b)) / a
    return factor


def _line(runs: Sequence[EndLoss], start: int, prior: _Prior) -> _Line:
    """Conjugate Bayesian regression (Gelman et al., Bayesian Data Analysis, chapter 14): flat in the
    intercept, normal in the slope."""
    finite = [run for run in runs if math.isfinite(run.loss)]
    x = np.array([math.log(run.steps / start) for run in finite])
    y = np.array([run.loss for run in finite])
    weight = (prior.sd / prior.slope_sd) ** 2
    if not finite:
        return _Line(0, math.nan, prior.slope, np.diag([math.inf, 1 / weight]), 0.0)
    precision = np.array([[len(x), x.sum()], [x.sum(), x @ x + weight]])
    covariance = np.linalg.inv(precision)
    intercept, slope = covariance @ np.array([y.sum(), x @ y + weight * prior.slope])
    residuals = y - intercept - slope * x
    squares = float(residuals @ residuals + weight * (slope - prior.slope) ** 2)
    return _Line(len(x), float(intercept), float(slope), covariance, squares)


def _noise(lines: Collection[_Line], prior: _Prior) -> tuple[float, int]:
    """The standard deviation of end losses about their lines, with its prior, and its degrees of freedom."""
    df = prior.df + sum(max(0, line.n - 1) for line in lines)
    squares = prior.df * prior.sd**2 + sum(line.squares for line in lines)
    return math.sqrt(squares / df), df


def _fit(
    runs: Sequence[EndLoss], start: int, line: _Line, need: _Need, settings: ConfirmSettings
) -> LengthFit:
    n, diverged = len(runs), len(runs) - line.n
    if diverged and 1 - diverged / settings.fit_runs < settings.share:
        return _given_up(f"{diverged} of {n} runs diverged, too many for the share of seeds", need, n)
    if not line.n:
        return LengthFit(None, start, None, need.noise, None, n, "no run has ended yet")
    survive = line.n / n
    ran = [math.log(run.steps / start) for run in runs]
    x = np.arange(min(ran) - FARTHEST, min(max(ran) + FARTHEST, LONGEST) + GRID, GRID)
    plain, cautious = need.boundary(line, x, survive), need.cautious_boundary(line, x, survive)
    last = n >= settings.fit_runs
    if cautious is not None and (_is_decided(plain, cautious, ran) or (last and _is_near(cautious, ran))):
        steps = math.ceil(start * math.exp(cautious))
        reason = f"decided after {n} runs"
        return LengthFit(steps, None, *need.predicted(line, steps / start, survive), n, reason)
    if last:
        return _given_up(f"did not reach the target on enough seeds within {n} runs", need, n)
    if plain is None and max(ran) > LONGEST - NEAR:
        times = math.exp(LONGEST)
        return _given_up(f"does not reach the target within {times:g} times its {start} steps", need, n)
    place = _most_deciding(plain, cautious, float(x[-1]))
    steps = max(1, min(2 * max(run.steps for run in runs), round(start * math.exp(place))))
    reason = f"not decided after {n} run{'s' if n > 1 else ''}"
    return LengthFit(None, steps, *need.predicted(line, steps / start, survive), n, reason)


def _given_up(reason: str, need: _Need, runs: int) -> LengthFit:
    return LengthFit(None, None, None, need.noise, None, runs, reason)


def _most_deciding(plain: float | None, cautious: float | None, farthest: float) -> float:
    """Where the next run says most: at the boundary as it is now known, or as far as may be where none is."""
    if plain is None:
        return farthest
    return plain if cautious is None else min(max(plain, cautious), plain + LEAN)


def _is_decided(plain: float | None, cautious: float, ran: Sequence[float]) -> bool:
    close = plain is not None and cautious - plain <= CLOSE
    near = any(abs(length - cautious) <= NEAR for length in ran)
    return close and near and len(ran) >= FEWEST


def _is_near(cautious: float, ran: Sequence[float]) -> bool:
    return min(ran) - GUESS <= cautious <= max(ran) + GUESS
