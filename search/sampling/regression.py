"""Gaussian process regression with a handful of hyperparameters, cheap enough to fit for every draw. Pure.

The covariance of two rows is a constant, a linear part (every column has an effect of its own, all of one
size) and a smooth part (a squared exponential: what columns do together):

    scale x (1 + linear x r.r' / columns + (1 - linear) x exp(-|r - r'|^2 / (2 x reach^2 x columns)))

and every observation has independent noise, `noise` x scale. `linear`, `reach` and `noise` are those of a
small grid with the largest marginal likelihood, at which `scale` has a closed form (Rasmussen and Williams,
Gaussian Processes for Machine Learning, 2006, chapters 2 and 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from operator import itemgetter

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, solve_triangular

Array = npt.NDArray[np.float64]

LINEAR = (0.3, 0.6, 0.9)
REACH = (0.5, 1.0, 2.0)
NOISE = (1e-3, 1e-2, 1e-1, 0.4)
SHAPED_BY = 150
# Of the effects, how large the constant may be beside them: the mean is hardly known beforehand.
CONSTANT = 10.0


@dataclass(frozen=True)
class Shape:
    linear: float
    reach: float
    noise: float


@dataclass(frozen=True)
class Pairs:
    """What the covariances of rows with others are made of, whatever the shape: r.r' / columns,
    |r - r'|^2 / columns, and |r|^2 / columns."""

    inner: Array
    squares: Array
    own: Array


@dataclass(frozen=True)
class Fitted:
    """What was learnt from `rows` (runs x columns)."""

    rows: Array
    shape: Shape
    scale: float
    factor: Array
    weights: Array
    centre: float

    def seen(self, rows: Array) -> Pairs:
        """What `mean` and `predict` look at; the same for every model of the same runs."""
        return _pairs(rows, self.rows)

    def mean(self, seen: Pairs) -> Array:
        """What is to be expected at each row, without the noise."""
        return np.asarray(self.centre + _covariance(seen, self.shape) @ self.weights)

    def predict(self, seen: Pairs) -> tuple[Array, Array]:
        """`mean` with its standard deviation, which takes several times as long."""
        cross = _covariance(seen, self.shape)
        mean = self.centre + cross @ self.weights
        solved = solve_triangular(self.factor, cross.T, lower=True, overwrite_b=True, check_finite=False)
        own = CONSTANT + self.shape.linear * seen.own + (1 - self.shape.linear)
        variance = np.maximum(own - np.square(solved, out=solved).sum(axis=0), 0.0)
        return mean, np.sqrt(self.scale * variance)


def fitted(rows: Array, values: Array) -> Fitted:
    """`rows`: runs x columns, around 0 and all of about one size; `values`: one a run. The shape is chosen by
    `SHAPED_BY` of the runs at most, evenly spread, since every shape takes a decomposition."""
    spread = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SHAPED_BY)).round().astype(int))
    some, pairs = rows[spread], _pairs(rows[spread], rows[spread])
    shapes = (Shape(*one) for one in product(LINEAR, REACH, NOISE))
    _, shape = max(
        ((_with_shape(some, pairs, values[spread], one)[0], one) for one in shapes), key=itemgetter(0)
    )
    return _with_shape(rows, _pairs(rows, rows), values, shape)[1]


def _with_shape(rows: Array, pairs: Pairs, values: Array, shape: Shape) -> tuple[float, Fitted]:
    """With the log marginal likelihood, up to a constant."""
    centre = float(values.mean())
    left = values - centre
    covariance = _covariance(pairs, shape) + shape.noise * np.eye(len(rows))
    factor, _ = cho_factor(covariance, lower=True, check_finite=False)
    weights = cho_solve((factor, True), left, check_finite=False)
    scale = max(float(left @ weights) / len(rows), 1e-12)
    likelihood = -0.5 * len(rows) * np.log(scale) - float(np.log(np.diag(factor)).sum())
    return likelihood, Fitted(rows, shape, scale, np.tril(factor), weights, centre)


def _pairs(ours: Array, theirs: Array) -> Pairs:
    inner = ours @ theirs.T
    inner /= ours.shape[1]
    own, other = np.square(ours).mean(axis=1), np.square(theirs).mean(axis=1)
    squares = np.add(own[:, None], other[None, :])
    squares -= 2 * inner
    return Pairs(inner, np.maximum(squares, 0.0, out=squares), own)


def _covariance(pairs: Pairs, shape: Shape) -> Array:
    """In place where it can be: with an array for each step, half of the time goes into memory."""
    smooth = pairs.squares / (-2 * shape.reach**2)
    np.exp(smooth, out=smooth)
    smooth *= 1 - shape.linear
    covariance = shape.linear * pairs.inner
    covariance += CONSTANT
    covariance += smooth
    return np.asarray(covariance)
