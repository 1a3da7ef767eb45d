"""How much of a run's cost the luck of its seed moves: against a noise and a slope that are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.confirm.fit import EndLoss
from search.confirm.luck import FLATTEST, LUCKY, UNSEEN_MARGIN, seed_margin


def recipe(start: int, sigma: float, slope: float, runs: int, seed: int) -> list[EndLoss]:
    rng = np.random.default_rng(seed)
    steps = [round(start * factor) for factor in np.linspace(0.7, 1.4, runs)]
    return [
        EndLoss(one, 1.9 + slope * math.log(one / start) + sigma * rng.standard_normal(), seed)
        for one in steps
    ]


@pytest.mark.parametrize("recipes", [[], [[]], [[EndLoss(300, 1.9, 1)], [EndLoss(400, 1.8, 1)]]])
def test_where_no_recipe_ran_twice_the_margin_is_a_tenth(recipes: list[list[EndLoss]]) -> None:
    assert seed_margin(recipes) == UNSEEN_MARGIN == 0.10


def test_the_margin_of_no_noise_yet_is_that_of_nanogpts_recipe_rounded_up() -> None:
    assert 0.05 < LUCKY * 0.0065 / 0.14 <= UNSEEN_MARGIN


@pytest.mark.parametrize(("sigma", "slope"), [(0.0065, -0.14), (0.011, -0.2), (0.003, -0.1)])
def test_of_many_runs_it_is_the_noise_over_the_slope(sigma: float, slope: float) -> None:
    recipes = [recipe(start, sigma, slope, 40, seed) for seed, start in enumerate((300, 900, 2000))]
    assert seed_margin(recipes) == pytest.approx(LUCKY * sigma / -slope, rel=0.25)


def test_a_recipe_that_is_better_than_another_adds_no_noise() -> None:
    one, other = recipe(300, 0.005, -0.14, 12, 1), recipe(300, 0.005, -0.14, 12, 2)
    better = [EndLoss(run.steps, run.loss - 0.5, run.seed) for run in other]
    assert seed_margin([one, other]) == pytest.approx(seed_margin([one, better]))


def test_a_run_that_diverged_says_nothing_of_it() -> None:
    runs = recipe(300, 0.005, -0.14, 5, 1)
    assert seed_margin([[*runs, EndLoss(300, math.inf, 9)]]) == seed_margin([runs])


@given(
    st.lists(
        st.lists(st.builds(EndLoss, st.integers(1, 10**6), st.floats(0.1, 10), st.integers(0, 9)), max_size=5)
    )
)
def test_it_is_a_finite_share_above_none_whatever_was_seen(recipes: list[list[EndLoss]]) -> None:
    assert 0 < seed_margin(recipes) < 10 / FLATTEST * LUCKY
