"""Gaussian process regression of a handful of hyperparameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from search.sampling.regression import CONSTANT, SHAPED_BY, Array, Fitted, fitted

EFFECTS = np.array([0.3, -0.2, 0.0, 0.1])


def drawn(count: int, noise: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
    """Rows, and values of which every column has a share."""
    rng = np.random.default_rng(seed)
    rows = rng.uniform(-1, 1, (count, len(EFFECTS)))
    return rows, 2.0 + rows @ EFFECTS + noise * rng.normal(size=count)


def predicted(model: Fitted, rows: Array) -> tuple[Array, Array]:
    """Means and standard deviations."""
    seen = model.seen(rows)
    means, spreads = model.predict(seen)
    assert (model.mean(seen) == means).all()
    return means, spreads


def test_effects_are_found_at_rows_that_were_not_seen() -> None:
    model = fitted(*drawn(30, noise=0.01))
    rows, values = drawn(50, seed=1)
    means, spreads = predicted(model, rows)
    assert np.abs(means - values).max() < 0.05
    assert np.mean(np.abs(means - values) < 2 * spreads) > 0.85


@pytest.mark.parametrize("count", [25, SHAPED_BY + 50])
def test_it_agrees_with_scikit_learn_at_the_same_hyperparameters(count: int) -> None:
    rows, values = drawn(count, noise=0.05)
    model = fitted(rows, values)
    shape, columns, scale = model.shape, rows.shape[1], model.scale
    kernel = (
        ConstantKernel(scale * shape.linear / columns) * DotProduct(sigma_0=1e-6)
        + ConstantKernel(scale * (1 - shape.linear)) * RBF(shape.reach * np.sqrt(columns))
        + ConstantKernel(scale * CONSTANT)
        + WhiteKernel(scale * shape.noise)
    )
    theirs = GaussianProcessRegressor(kernel, optimizer=None).fit(rows, values - model.centre)
    others, _ = drawn(40, seed=2)
    means, spreads = predicted(model, others)
    their_means, their_spreads = theirs.predict(others, return_std=True)
    noise = scale * shape.noise  # theirs is of what will be seen, noise and all
    assert means == pytest.approx(model.centre + their_means, abs=1e-6)
    assert np.square(spreads) == pytest.approx(np.square(their_spreads) - noise, abs=1e-6)


def test_what_columns_do_together_is_learnt_too() -> None:
    rng = np.random.default_rng(0)
    rows = rng.uniform(-1, 1, (120, 2))
    values = rows[:, 0] * rows[:, 1]
    others = rng.uniform(-0.8, 0.8, (50, 2))
    means, _ = predicted(fitted(rows, values), others)
    assert np.abs(means - others[:, 0] * others[:, 1]).max() < 0.1


def test_it_is_surer_where_it_has_seen_something() -> None:
    rows, values = drawn(20, noise=0.01)
    model = fitted(rows * 0.2, values)
    _, spreads = predicted(model, np.stack([np.zeros(4), np.ones(4)]))
    assert spreads[0] < spreads[1]


def test_luck_is_told_from_effects() -> None:
    rng = np.random.default_rng(0)
    rows = np.tile(rng.uniform(-1, 1, (4, 4)), (20, 1))
    truth = rows @ EFFECTS
    means, _ = predicted(fitted(rows, truth + 0.1 * rng.normal(size=len(rows))), rows[:4])
    assert np.abs(means - truth[:4]).max() < 0.08


@settings(max_examples=30)
@given(st.integers(1, 12), st.floats(-1e3, 1e3), st.floats(0, 1e3))
def test_any_history_gives_finite_figures(count: int, centre: float, spread: float) -> None:
    rng = np.random.default_rng(count)
    rows = rng.integers(-1, 2, (count, 3)).astype(float)
    means, spreads = predicted(fitted(rows, centre + spread * rng.normal(size=count)), rows)
    assert np.isfinite(means).all()
    assert np.isfinite(spreads).all()
    assert (spreads >= 0).all()
