"""Intervals and tests: against what they are elsewhere, and against what must be so."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search.confirm.intervals import (
    Spread,
    clopper_pearson,
    critical,
    difference,
    level_of_look,
    mean_below,
    paired_ratio,
    pooled_spread,
    seeds_for,
)
from search.confirm.settings import ConfirmSettings

joules = st.floats(min_value=1e-3, max_value=1e6)
pairs = st.lists(st.tuples(joules, joules), min_size=2, max_size=8)
losses = st.lists(st.floats(min_value=0.5, max_value=5.0), min_size=2, max_size=8)


@given(st.integers(3, 10), st.integers(0, 10), st.integers(1, 8))
def test_all_looks_and_candidates_together_spend_the_level(seeds: int, more: int, candidates: int) -> None:
    settings = ConfirmSettings(seeds=seeds, max_seeds=seeds + more)
    looks = range(seeds, seeds + more + 1)
    spent = sum(candidates * level_of_look(n, 0.05, settings, candidates) for n in looks)
    assert spent == pytest.approx(0.05)


def test_fewer_seeds_than_the_first_look_get_its_level() -> None:
    settings = ConfirmSettings()
    assert level_of_look(2, 0.05, settings, 2) == level_of_look(5, 0.05, settings, 2)


def test_the_critical_value_is_students() -> None:
    assert critical(0.025, 3) == pytest.approx(stats.t.ppf(0.975, 3))


def test_the_spread_is_pooled_about_the_mean_of_each_group() -> None:
    """Squares of 2 and 8 over 1 + 1 degrees of freedom."""
    assert pooled_spread([[1.0, 3.0], [10.0, 14.0], [5.0]]) == Spread(math.sqrt(5.0), 2)
    assert pooled_spread([[1.0, 3.0, math.inf]]) == Spread(math.sqrt(2.0), 1)


def test_without_spread_or_second_values_the_noise_is_not_known() -> None:
    assert pooled_spread([[1.0], [2.0]]) is None
    assert pooled_spread([[1.0, 1.0]]) is None
    assert mean_below([1.0, 1.0], 2.0, 0.01, None).p is None


def test_the_test_of_one_group_is_students() -> None:
    values = [1.90, 1.89, 1.91, 1.88]
    expected = stats.ttest_1samp(values, 1.905, alternative="less").pvalue
    assert mean_below(values, 1.905, 0.01, pooled_spread([values])).p == pytest.approx(expected)


@given(losses, st.floats(0.5, 5.0), st.floats(0.001, 0.4), st.floats(1e-4, 0.5), st.integers(1, 40))
def test_the_end_lies_below_the_target_exactly_where_p_lies_below_the_level(
    values: list[float], target: float, level: float, sd: float, df: int
) -> None:
    test = mean_below(values, target, level, Spread(sd, df))
    assert test.upper is not None
    assert test.p is not None
    if abs(test.upper - target) > 1e-9:
        assert (test.upper < target) is (test.p < level)


def test_an_arm_noisier_than_its_neighbours_is_judged_by_its_own_noise() -> None:
    noisy, pooled = [1.80, 2.00, 1.85, 1.95], Spread(0.005, 20)
    own = pooled_spread([noisy])
    assert own is not None
    assert mean_below(noisy, 1.905, 0.05, pooled) == mean_below(noisy, 1.905, 0.05, Spread(own.sd, 20))


@pytest.mark.parametrize("lost", [math.inf, math.nan])
def test_a_run_that_diverged_is_above_every_target(lost: float) -> None:
    test = mean_below([1.0, 1.0, lost], 2.0, 0.01, Spread(0.01, 10))
    assert (test.mean, test.p) == (math.inf, 1.0)


@given(pairs)
def test_a_ratio_and_its_inverse_have_inverse_intervals(both: list[tuple[float, float]]) -> None:
    mine, theirs = [one for one, _ in both], [other for _, other in both]
    there, back = paired_ratio(mine, theirs, 0.025), paired_ratio(theirs, mine, 0.025)
    assert (there is None) is (back is None)
    if there is not None and back is not None and max(there.high, back.high) < 1e300:
        assert math.log(there.estimate) == pytest.approx(-math.log(back.estimate), abs=1e-9)
        assert math.log(there.low) == pytest.approx(-math.log(back.high), rel=1e-6, abs=1e-9)


@given(pairs, st.floats(0.001, 0.4))
def test_a_ratio_lies_within_its_interval(both: list[tuple[float, float]], level: float) -> None:
    ratio = paired_ratio([one for one, _ in both], [other for _, other in both], level)
    assert ratio is None or ratio.low <= ratio.estimate <= ratio.high


def test_the_ratio_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    runs = 0.9 * np.exp(0.03 * rng.standard_normal((4000, 5))), np.exp(0.03 * rng.standard_normal((4000, 5)))
    found = [paired_ratio(*pair, 0.025) for pair in zip(*(side.tolist() for side in runs), strict=True)]
    missed = sum(one is None or not one.low <= 0.9 <= one.high for one in found)
    assert stats.binomtest(missed, 4000, 0.05).pvalue > 0.001


def test_measured_pairs_without_spread_prove_nothing_and_counted_ones_are_exact() -> None:
    mine, theirs = [2.0, 2.0, 2.0], [4.0, 4.0, 4.0]
    assert paired_ratio(mine, theirs, 0.025) is None
    exact = paired_ratio(mine, theirs, 0.025, exact=True)
    assert exact is not None
    assert exact.low == exact.high == exact.estimate == pytest.approx(0.5)


@pytest.mark.parametrize("mine", [[1.0], [1.0, 0.0], [1.0, -2.0], [1.0, math.inf], [1.0, math.nan]])
def test_one_pair_and_joules_that_cannot_be_give_no_ratio(mine: list[float]) -> None:
    assert paired_ratio(mine, [1.0, 2.0][: len(mine)], 0.025, exact=True) is None


def test_the_difference_takes_the_noise_of_single_runs_twice() -> None:
    gap = difference([1.0, 1.01], [1.0, 1.0], 0.025, Spread(0.1, 10))
    half = critical(0.025, 10) * 0.1  # sqrt(2) of two runs over sqrt(2) of two pairs
    assert gap is not None
    assert (gap.low, gap.high) == pytest.approx((0.005 - half, 0.005 + half))
    assert difference([1.0, math.inf], [1.0, 1.0], 0.025, Spread(0.1, 10)) is None


@given(st.integers(0, 12), st.integers(1, 12), st.sampled_from([0.025, 0.005, 0.1]))
def test_the_share_has_the_exact_interval(successes: int, n: int, level: float) -> None:
    successes = min(successes, n)
    expected = stats.binomtest(successes, n).proportion_ci(1 - 2 * level, "exact")
    found = clopper_pearson(successes, n, level)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_of_nothing_no_share_is_known() -> None:
    assert clopper_pearson(0, 0, 0.025) is None


@given(st.floats(0.005, 0.2), st.floats(0.001, 0.1))
def test_that_many_seeds_would_be_enough_and_one_fewer_not(gap: float, spread: float) -> None:
    n = seeds_for(gap, spread, 0.01)
    if n is not None:
        assert critical(0.01, n - 1) * spread / math.sqrt(n) < gap
        assert n == 2 or critical(0.01, n - 2) * spread / math.sqrt(n - 1) >= gap
    assert seeds_for(-gap, spread, 0.01) is None
