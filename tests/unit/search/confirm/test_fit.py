"""The smallest length that holds, from few runs: against lines and curves that are known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from search.confirm.fit import POWER, EndLoss, LengthFit, fit_lengths
from search.confirm.intervals import REACH_LEVEL, critical, level_of_look
from search.confirm.settings import ConfirmSettings

TARGET_LOSS = 1.905
SETTINGS = ConfirmSettings()
N_ARMS = 4
SIGMA = 0.007
Curve = Callable[[float], float]


def line(steps: float) -> float:
    return TARGET_LOSS - 0.14 * math.log(steps / 400)


def curve(steps: float) -> float:
    """The same slope at 400 steps; flatter with every doubling."""
    return TARGET_LOSS + 0.4 * ((steps / 400) ** -0.35 - 1)


def fit_one(runs: list[EndLoss], start: int, settings: ConfirmSettings = SETTINGS) -> LengthFit:
    return fit_lengths({"trial 3": runs}, {"trial 3": start}, TARGET_LOSS, settings, N_ARMS)["trial 3"]


def fitted(mean: Curve, start: int, seed: int, sigma: float = SIGMA) -> tuple[LengthFit, list[EndLoss]]:
    """Runs whatever is asked for until nothing is."""
    rng, runs = np.random.default_rng(seed), list[EndLoss]()
    while (found := fit_one(runs, start)).next_steps is not None:
        runs.append(EndLoss(found.next_steps, mean(found.next_steps) + sigma * rng.standard_normal(), seed))
    return found, runs


def smallest(mean: Curve, sigma: float = SIGMA) -> int:
    """The smallest true length that satisfies both conditions."""
    level = level_of_look(SETTINGS.seeds, REACH_LEVEL, SETTINGS, SETTINGS.candidates)
    needed = critical(level, N_ARMS * (SETTINGS.seeds - 1)) + float(norm.ppf(POWER))
    margin = needed / math.sqrt(SETTINGS.seeds)
    limit = TARGET_LOSS - max(margin, float(norm.ppf(SETTINGS.share))) * sigma
    return next(steps for steps in range(100, 4000) if mean(steps) <= limit)


@pytest.mark.parametrize("mean", [line, curve])
@pytest.mark.parametrize("factor", [1 / 1.3, 1.0, 1.4, 2.0])
def test_few_runs_find_a_length_that_holds_and_is_hardly_longer_than_it_must_be(
    mean: Curve, factor: float
) -> None:
    best = smallest(mean)
    found = [fitted(mean, round(factor * best), seed) for seed in range(120)]
    steps = [fit.steps for fit, _ in found if fit.steps is not None]
    assert len(steps) >= 118
    assert np.mean([len(runs) for _, runs in found]) <= 4
    assert np.quantile([len(runs) for _, runs in found], 0.9) <= 5
    assert np.median(steps) / best == pytest.approx(1, abs=0.12)
    holds = [norm.cdf((TARGET_LOSS - mean(one)) / SIGMA) >= SETTINGS.share for one in steps]
    assert np.mean(holds) >= 0.9


def test_a_noisy_recipe_whose_first_runs_lie_on_a_line_by_luck_is_not_cut_short() -> None:
    sigma, best = 0.016, smallest(line, 0.016)
    found = [
        fitted(line, round(factor * best), seed, sigma)[0] for factor in (0.8, 1.2) for seed in range(60)
    ]
    steps = [fit.steps for fit in found if fit.steps is not None]
    holds = [norm.cdf((TARGET_LOSS - line(one)) / sigma) >= SETTINGS.share for one in steps]
    assert np.mean(holds) >= 0.85


def test_the_first_run_is_at_the_length_that_the_search_found() -> None:
    assert fit_one([], 358).next_steps == 358


def test_the_fit_says_after_how_many_runs_it_was_decided() -> None:
    found, runs = fitted(line, 430, seed=0)
    assert found.reason == f"decided after {len(runs)} runs"
    assert found.runs == len(runs)
    assert found.share is not None
    assert found.share >= SETTINGS.share
    assert found.mean_loss is not None
    assert found.mean_loss < TARGET_LOSS


def test_a_length_that_never_reaches_is_given_up() -> None:
    found, runs = fitted(lambda steps: 3.0, 400, seed=0)
    assert found.steps is None
    assert found.next_steps is None
    assert "does not reach the target within 4 times its 400 steps" in found.reason
    assert max(run.steps for run in runs) <= 1600


def test_no_more_runs_than_allowed() -> None:
    noisy, runs = fitted(line, 430, seed=3, sigma=0.2)
    assert len(runs) <= SETTINGS.fit_runs
    assert noisy.next_steps is None


def test_a_recipe_that_diverges_is_given_up_where_too_few_seeds_are_left() -> None:
    one = fit_one([EndLoss(400, math.inf, 0)], 400)
    assert (one.steps, one.next_steps) == (None, None)
    assert "1 of 1 runs diverged" in one.reason
    patient = fit_one([EndLoss(400, math.nan, 0)], 400, ConfirmSettings(share=0.5))
    assert patient.next_steps == 400


def test_an_arm_learns_the_noise_from_the_others() -> None:
    mine = [EndLoss(400, 1.89, 0), EndLoss(420, 1.88, 1)]
    noisy = [EndLoss(400, 1.89 + 0.03 * (-1) ** n, n) for n in range(5)]
    start = {"trial 3": 400, "trial 7": 400}
    beside = fit_lengths({"trial 3": mine, "trial 7": noisy}, start, TARGET_LOSS, SETTINGS, N_ARMS)
    alone = fit_lengths({"trial 3": mine}, start, TARGET_LOSS, SETTINGS, N_ARMS)
    assert beside["trial 3"].sigma > alone["trial 3"].sigma


losses = st.floats(min_value=0.5, max_value=12.0) | st.sampled_from([math.inf, math.nan])
ends = st.lists(st.builds(EndLoss, st.integers(1, 5000), losses, st.integers(0, 9)), max_size=7)


def test_a_noisy_arm_does_not_lengthen_one_that_is_fitted_by_itself() -> None:
    steady = [EndLoss(steps, line(steps), seed) for seed, steps in enumerate((400, 420, 440, 430))]
    noisy = [EndLoss(400, TARGET_LOSS + gap, seed) for seed, gap in enumerate((0.04, -0.04, 0.05, -0.05))]
    arms, start = {"fitted": steady, "trial 3": noisy}, {"fitted": 400, "trial 3": 400}
    apart = ("fitted",)
    alone = fit_lengths({"fitted": steady}, {"fitted": 400}, TARGET_LOSS, SETTINGS, N_ARMS, apart)["fitted"]
    together = fit_lengths(arms, start, TARGET_LOSS, SETTINGS, N_ARMS)["fitted"]
    by_itself = fit_lengths(arms, start, TARGET_LOSS, SETTINGS, N_ARMS, apart)["fitted"]
    assert by_itself == alone
    assert by_itself.sigma < together.sigma


@given(ends, st.integers(1, 5000))
def test_whatever_ran_a_fit_is_a_length_a_next_one_or_neither_and_never_nan(
    runs: list[EndLoss], start: int
) -> None:
    found = fit_one(runs, start)
    assert found.steps is None or found.next_steps is None
    assert len(runs) < SETTINGS.fit_runs or found.next_steps is None
    assert not any(math.isnan(one) for one in (found.sigma, found.share or 0.0, found.mean_loss or 0.0))
    if found.next_steps is not None and runs:
        ran = [run.steps for run in runs]
        assert min(ran) / 2 - 1 <= found.next_steps <= max(2 * max(ran), 4 * start)
