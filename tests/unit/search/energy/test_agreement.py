from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search.energy.agreement import MIN_RUNS, REGRET, Agreement, Pair, Verdict, compare, spearman

# A few distinct values make ties common; the range is that of joules of small and large runs.
joules = st.one_of(st.integers(min_value=1, max_value=6).map(float), st.floats(min_value=1e-3, max_value=1e9))
pairs = st.builds(Pair, st.just("trial"), joules, joules, st.booleans())
pair_lists = st.lists(pairs, max_size=20)


def ranked(*values: tuple[float, float]) -> Agreement:
    """Of (reference, surrogate), all of runs that rank."""
    return compare(Pair(f"trial {n}", *both) for n, both in enumerate(values))


def in_order(runs: int, scale: float = 1.0) -> list[tuple[float, float]]:
    return [(10.0 + n, scale * (10.0 + n)) for n in range(runs)]


def labels(pair: Pair | None) -> str:
    return "" if pair is None else pair.label


@given(st.lists(st.tuples(joules, joules), min_size=2, max_size=30))
def test_rho_is_that_of_scipy_ties_included(values: list[tuple[float, float]]) -> None:
    x, y = zip(*values, strict=True)
    found = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
    else:
        assert found is not None
        assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


@given(st.lists(st.tuples(joules, joules), min_size=MIN_RUNS, max_size=30))
def test_the_interval_holds_rho_and_lies_between_minus_one_and_one(values: list[tuple[float, float]]) -> None:
    found = spearman(*zip(*values, strict=True))
    if found is not None:
        assert found.low is not None
        assert found.high is not None
        assert -1.0 <= found.low <= found.rho <= found.high <= 1.0


def test_the_interval_is_that_of_bonett_and_wright() -> None:
    """Two neighbours of five swapped: rho 0.9, z 1.4722, standard error sqrt(1.405 / 2)."""
    found = spearman([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])
    assert found is not None
    assert (found.rho, found.low, found.high) == pytest.approx((0.9, -0.1689, 0.9961), abs=1e-4)


def test_a_perfect_order_of_few_runs_is_not_certain_and_of_more_runs_is_surer() -> None:
    lows = []
    for runs in (6, 12, 24):
        found = spearman(range(runs), range(runs))
        assert found is not None
        assert (found.rho, found.high) == (pytest.approx(1.0), pytest.approx(1.0))
        lows.append(found.low or 0.0)
    assert lows == sorted(lows)
    assert lows[0] < 0.9 < lows[1] < lows[2] < 1.0


def test_fewer_than_five_runs_have_no_interval() -> None:
    found = spearman([1, 2, 3, 4], [1, 2, 3, 4])
    assert found is not None
    assert (found.low, found.high) == (None, None)


def test_a_meter_that_reads_every_run_the_same_has_no_correlation() -> None:
    assert spearman([1, 2, 3, 4, 5], [2, 2, 2, 2, 2]) is None


def test_values_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="as many values"):
        spearman([1.0, 2.0], [1.0])


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_unknown_or_impossible_joules_make_no_pair(bad: float) -> None:
    for both in ((bad, 1.0), (1.0, bad)):
        with pytest.raises(ValueError, match="positive joules"):
            Pair("trial 1", *both)


@given(pair_lists.filter(bool), st.sampled_from([0.25, 2.0, 1024.0]))
def test_a_constant_factor_changes_the_scale_and_nothing_else(found: list[Pair], factor: float) -> None:
    scaled = [Pair(p.label, p.reference_j, factor * p.surrogate_j, p.ranks) for p in found]
    ours, theirs = compare(found), compare(scaled)
    assert ours.scale is not None
    assert theirs.scale == pytest.approx(factor * ours.scale)
    assert theirs.correlation == ours.correlation
    assert theirs.verdict is ours.verdict
    assert [swap.gap for swap in theirs.swaps] == [swap.gap for swap in ours.swaps]
    factors = [(r.pair.reference_j, r.factor) for r in ours.residuals]
    assert sorted((r.pair.reference_j, r.factor) for r in theirs.residuals) == [
        (joules, pytest.approx(factor)) for joules, factor in sorted(factors)
    ]


@given(pair_lists, st.lists(pairs, max_size=5))
def test_runs_that_do_not_rank_change_neither_order_nor_regret_nor_verdict(
    found: list[Pair], others: list[Pair]
) -> None:
    unranked = [Pair(p.label, p.reference_j, p.surrogate_j, ranks=False) for p in others]
    ours, more = compare(found), compare([*found, *unranked])
    assert (more.runs, more.correlation, more.winners, more.swaps, more.comparisons, more.verdict) == (
        ours.runs, ours.correlation, ours.winners, ours.swaps, ours.comparisons, ours.verdict,
    )  # fmt: skip


def test_the_scale_is_the_median_ratio_of_all_runs() -> None:
    found = compare([Pair("a", 10.0, 2.0), Pair("b", 10.0, 3.0), Pair("c", 10.0, 9.0, ranks=False)])
    assert found.scale == pytest.approx(0.3)
    assert found.runs == 2


def test_residuals_are_factors_to_the_scale_the_largest_first_in_either_direction() -> None:
    found = ranked((10.0, 10.0), (10.0, 2.0), (10.0, 30.0), (10.0, 10.0), (10.0, 10.0))
    assert [(labels(r.pair), pytest.approx(r.factor)) for r in found.residuals[:2]] == [
        ("trial 1", 0.2),
        ("trial 2", 3.0),
    ]


@given(pair_lists)
def test_swaps_are_the_pairs_of_ranking_runs_in_opposite_order(found: list[Pair]) -> None:
    ranking = [pair for pair in found if pair.ranks]
    opposite = sum(
        (a.reference_j < b.reference_j and a.surrogate_j > b.surrogate_j)
        or (a.reference_j > b.reference_j and a.surrogate_j < b.surrogate_j)
        for a, b in itertools.combinations(ranking, 2)
    )
    agreement = compare(found)
    assert len(agreement.swaps) == opposite <= agreement.comparisons
    gaps = [swap.gap for swap in agreement.swaps]
    assert gaps == sorted(gaps, reverse=True)
    assert all(gap > 1.0 for gap in gaps)


@given(pair_lists)
def test_regret_is_at_least_one_and_one_where_the_winner_is_the_cheapest(found: list[Pair]) -> None:
    winners = compare(found).winners
    if winners is not None:
        assert winners.regret >= 1.0
        assert (winners.regret == 1.0) == (winners.chosen.reference_j == winners.cheapest.reference_j)


def test_regret_is_what_the_surrogates_winner_costs_by_the_reference() -> None:
    winners = ranked((10.0, 3.0), (13.0, 2.0), (20.0, 6.0)).winners
    assert winners is not None
    assert (labels(winners.chosen), labels(winners.cheapest)) == ("trial 1", "trial 0")
    assert winners.regret == pytest.approx(1.3)


def test_of_runs_that_the_surrogate_cannot_tell_apart_it_chooses_the_dearest() -> None:
    winners = ranked((10.0, 2.0), (13.0, 2.0), (20.0, 6.0)).winners
    assert winners is not None
    assert labels(winners.chosen) == "trial 1"


def shuffled_but_for_the_winner(runs: int) -> list[tuple[float, float]]:
    """The cheapest is the same by both; the rest are in reverse order."""
    return [(5.0, 5.0), *((10.0 + n, 10.0 + runs - n) for n in range(runs))]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([], Verdict.UNKNOWN),
        (in_order(1), Verdict.UNKNOWN),
        (in_order(MIN_RUNS - 1), Verdict.UNKNOWN),
        (in_order(MIN_RUNS + 1), Verdict.UNDECIDED),
        (in_order(12, scale=0.3), Verdict.AGREES),
        (shuffled_but_for_the_winner(12), Verdict.DISAGREES),
        (shuffled_but_for_the_winner(3), Verdict.UNKNOWN),
        ([(10.0, 1.0), (10.2, 1.0), (10.1, 1.0), (10.3, 1.0), (10.4, 1.0)], Verdict.UNKNOWN),
    ],
    ids=["none", "one", "four", "six in order", "twelve in order", "rest reversed", "few", "all the same"],
)
def test_the_verdict_takes_enough_runs_in_the_same_order(
    values: list[tuple[float, float]], verdict: Verdict
) -> None:
    assert ranked(*values).verdict is verdict


@pytest.mark.parametrize(
    ("dearer_j", "verdict"),
    [(100 * REGRET + 0.1, Verdict.DISAGREES), (100 * REGRET - 0.1, Verdict.AGREES)],
)
def test_a_winner_that_costs_over_five_percent_more_disagrees_however_well_the_rest_agree(
    dearer_j: float, verdict: Verdict
) -> None:
    rest = [(200.0 + n, 200.0 + n) for n in range(38)]
    assert ranked((100.0, 2.0), (dearer_j, 1.0), *rest).verdict is verdict


def test_a_dear_winner_disagrees_even_where_runs_are_too_few_for_an_interval() -> None:
    assert ranked((10.0, 2.0), (13.0, 1.0)).verdict is Verdict.DISAGREES
