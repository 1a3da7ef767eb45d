"""What a run of any configuration of a space would have done, by regression on recorded ones.

A configuration is a row of numbers: ranges as they are or by their logarithm, choices as indicators. Two
kinds of Gaussian process regression map it to

- the curve: ln(loss) at every twentieth of the schedule, by its leading principal components;
- the joules of a step, of a token that is evaluated, and of the set-up, as logarithms.

Seeds move a whole curve up or down by one normal number, as wide as recorded runs of one configuration with
several seeds spread.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.interpolate import PchipInterpolator
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from search.sampling.encoding import encoded, fixed_dimensions
from search.space.model import Space

Array = npt.NDArray[np.float64]
COMPONENTS = 4


@dataclass(frozen=True)
class Run:
    """One recorded run to the end of its schedule: what a row of the committed file holds."""

    index: int
    seed: int
    params: Mapping[str, Any]
    steps: int
    parameters: int
    step: Sequence[int]
    loss: Sequence[float]
    loss_stderr: Sequence[float]
    train_j: float
    eval_j: float
    setup_j: float
    train_s: float
    evaluated_tokens: int

    @property
    def shares(self) -> list[float]:
        """Of the schedule, at its evaluations."""
        return [step / self.steps for step in self.step]


@dataclass(frozen=True)
class Prediction:
    """Of a configuration, without the luck of a seed: ln(loss) at `SHARES` of its schedule, the standard
    deviation over seeds, and joules."""

    log_loss: Array
    spread: float
    step_j: float
    token_j: float
    setup_j: float

    def loss_at(self, share: float, untrained: float, luck: float = 0.0) -> float:
        """In nats; `untrained` is the loss before the first step, `luck` in standard deviations."""
        if share <= SHARES[0]:
            first = math.exp(self.log_loss[0])
            return first + (1 - share / SHARES[0]) * max(0.0, untrained - first)
        return math.exp(float(np.interp(share, SHARES, self.log_loss))) + luck * self.spread

    @property
    def end_loss(self) -> float:
        return math.exp(self.log_loss[-1])


SHARES: Array = np.arange(1, 21) / 20


class Features:
    """The configurations of a space as rows of numbers from 0 to 1."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._dimensions = fixed_dimensions(space)

    def rows(self, configurations: Sequence[Mapping[str, Any]]) -> Array:
        return np.array([self._row(params) for params in configurations])

    def _row(self, params: Mapping[str, Any]) -> list[float]:
        point = encoded(params, self._space)
        return [
            number
            for path, distribution in self._dimensions.items()
            for number in _numbers(point[path], distribution)
        ]


def _numbers(value: Any, distribution: BaseDistribution) -> list[float]:
    if isinstance(distribution, CategoricalDistribution):
        choices = list(distribution.choices)
        ordered = all(isinstance(one, int | float) and not isinstance(one, bool) for one in choices)
        if ordered and len(choices) > 1:
            return [choices.index(value) / (len(choices) - 1)]
        return [float(value == one) for one in choices[1:]]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if low == high:
        return []
    if distribution.log:
        return [math.log(value / low) / math.log(high / low)]
    return [(value - low) / (high - low)]


class Surrogate:
    """Fitted on `runs`; the baseline is not among them."""

    def __init__(self, space: Space, runs: Sequence[Run]) -> None:
        self._features = Features(space)
        rows = self._features.rows([run.params for run in runs])
        curves = np.array([_at_shares(run) for run in runs])
        self._mean = curves.mean(axis=0)
        _, _, directions = np.linalg.svd(curves - self._mean, full_matrices=False)
        self._directions = directions[:COMPONENTS]
        scores = (curves - self._mean) @ self._directions.T
        self._of_curve = [_regression(rows, column) for column in scores.T]
        self._step_j = _regression(rows, np.log([run.train_j / run.steps for run in runs]))
        self._token_j = _regression(rows, np.log([run.eval_j / run.evaluated_tokens for run in runs]))
        self._setup_j = float(np.median([run.setup_j for run in runs]))
        self.spread = _spread_over_seeds(runs)

    def predict(self, configurations: Sequence[Mapping[str, Any]]) -> list[Prediction]:
        rows = self._features.rows(configurations)
        scores = np.stack([model.predict(rows) for model in self._of_curve], axis=1)
        curves = self._mean + scores @ self._directions
        step_j, token_j = np.exp(self._step_j.predict(rows)), np.exp(self._token_j.predict(rows))
        return [
            Prediction(curve, self.spread, float(step), float(token), self._setup_j)
            for curve, step, token in zip(curves, step_j, token_j, strict=True)
        ]


def _at_shares(run: Run) -> Array:
    """ln(loss) at every twentieth of the schedule; runs of few steps have no evaluation at some."""
    curve = PchipInterpolator(run.shares, np.log(run.loss), extrapolate=True)
    return np.asarray(curve(SHARES), dtype=np.float64)


def _regression(rows: Array, values: Array) -> GaussianProcessRegressor:
    """With a length of its own for every column. The mean of two kernels' sum: smooth, and rough."""
    ones = np.full(rows.shape[1], 1.0)
    kernel = (
        ConstantKernel(1.0, (1e-2, 1e3)) * RBF(3 * ones, (0.2, 100.0))
        + ConstantKernel(0.1, (1e-3, 1e2)) * Matern(2.0, (0.2, 50.0), nu=1.5)
        + WhiteKernel(0.01, (1e-5, 1.0))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(rows, values)


def _spread_over_seeds(runs: Sequence[Run]) -> float:
    """Standard deviation of end losses over seeds, pooled over the configurations that have several."""
    losses: dict[int, list[float]] = {}
    for run in runs:
        losses.setdefault(run.index, []).append(run.loss[-1])
    several = [np.var(values, ddof=1) for values in losses.values() if len(values) == 3]
    # From the median, since one that diverges with a seed says nothing of the others. Of variances from three
    # values it is ln(2) of the mean.
    return math.sqrt(float(np.median(several)) / math.log(2)) if several else 0.0


def held_out_error(space: Space, runs: Sequence[Run], folds: int = 5) -> dict[str, float]:
    """Root mean square errors on configurations that were not fitted: of the end loss in nats, of all runs
    and of those that end in the best quarter; and of the joules of a step, relative."""
    indices = sorted({run.index for run in runs})
    ends, truths, steps = [], [], []
    for fold in range(folds):
        held = set(indices[fold::folds])
        surrogate = Surrogate(space, [run for run in runs if run.index not in held])
        out = [run for run in runs if run.index in held]
        for run, prediction in zip(out, surrogate.predict([run.params for run in out]), strict=True):
            ends.append(prediction.end_loss - run.loss[-1])
            truths.append(run.loss[-1])
            steps.append(math.log(prediction.step_j / (run.train_j / run.steps)))
    best = np.array(truths) <= np.quantile(truths, 0.25)
    errors = np.array(ends)
    return {
        "end loss": _rms(errors),
        "end loss, best quarter": _rms(errors[best]),
        "spread of end losses": float(np.std(truths)),
        "joules of a step": _rms(np.array(steps)),
    }


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
