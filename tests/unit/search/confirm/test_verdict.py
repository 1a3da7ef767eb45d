"""The verdict, clause by clause."""

import math
from dataclasses import replace

import pytest
from confirmed_runs import TARGET_LOSS, confirmed, facts, runs_of, without
from hypothesis import given
from hypothesis import strategies as st

from search.confirm.clauses import INTEGRITY_FLAGS, FittedBaseline
from search.confirm.rounds import ConfirmedRun
from search.confirm.settings import ConfirmSettings
from search.confirm.verdict import Verdict, VerdictKind, judge

SETTINGS = ConfirmSettings()
BASELINE = runs_of("documented")


def verdict(
    candidate: list[ConfirmedRun], baseline: list[ConfirmedRun] = BASELINE, **of_facts: object
) -> Verdict:
    return judge("trial 3", [*baseline, *candidate], facts(**of_facts), SETTINGS)


def candidate(**values: object) -> list[ConfirmedRun]:
    return runs_of("trial 3", **{"ratio": 0.3, "shift": 1} | values)


def failing(found: Verdict) -> list[str]:
    return [clause.name for clause in found.failing]


def test_a_recipe_that_reaches_the_target_for_a_third_of_everything_saves() -> None:
    found = verdict(candidate())
    assert (found.kind, failing(found), found.decided) == (VerdictKind.SAVES, [], True)
    assert (found.seeds, found.misses, found.looks) == (5, 0, 1)
    assert found.energy_ratio is not None
    assert found.energy_ratio.low < 0.3 < found.energy_ratio.high < 0.33
    assert found.p_reach is not None
    assert found.p_reach < 0.01
    assert [clause.name for clause in found.clauses] == [
        "reach",
        "energy_documented",
        "energy_fitted",
        "time_documented",
        "time_fitted",
        "loss",
        "problem",
        "meter",
    ]


def test_fewer_seeds_than_asked_for_prove_nothing_yet() -> None:
    found = verdict(candidate(n=4))
    assert (found.kind, found.decided, found.looks) == (VerdictKind.UNPROVEN, False, 0)
    assert "4 of 5 seeds" in found.why


def test_a_mean_too_near_to_the_target_fails_reach_and_says_what_would_decide_it() -> None:
    near = {"loss": TARGET_LOSS - 0.002}
    found = verdict(candidate(**near), runs_of("documented", **near))
    assert (found.kind, failing(found), found.decided) == (VerdictKind.UNPROVEN, ["reach"], False)
    assert found.misses == 1
    assert found.reach_share is not None
    assert found.reach_share.estimate == pytest.approx(0.8)
    assert "seeds by the present spread, or a longer recipe" in found.why


def test_a_mean_above_the_target_needs_a_longer_recipe_which_no_seeds_mend() -> None:
    found = verdict(candidate(loss=TARGET_LOSS + 0.05))
    assert (found.misses, found.decided) == (5, True)
    assert found.clause("reach").final
    assert "a longer recipe" in found.why


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_run_that_diverged_is_a_miss_and_fails_reach(loss: float) -> None:
    runs = candidate()
    found = verdict([*runs[:-1], confirmed("trial 3", 4, loss=loss, test_loss=loss, energy_j=18.0)])
    assert (found.kind, found.misses) == (VerdictKind.UNPROVEN, 1)
    assert found.clause("reach").holds is False
    assert "nan" not in found.why


def test_a_recipe_that_takes_more_than_the_baseline_costs() -> None:
    found = verdict(candidate(ratio=1.2))
    assert (found.kind, found.decided) == (VerdictKind.COSTS, True)
    assert "energy_documented" in failing(found)


def test_energy_known_to_be_as_good_as_equal_is_a_tie() -> None:
    equal = [confirmed("trial 3", n, energy_j=run.energy_j) for n, run in enumerate(BASELINE)]
    nudged = [
        confirmed(
            "trial 3",
            n,
            energy_j=(one.energy_j or 0.0) * (1 + 0.001 * (-1) ** n),
            time_s=28.0 + n / 10,
            loss=1.88 + n / 1000,
            test_loss=1.89 + n / 1000,
        )
        for n, one in enumerate(equal)
    ]
    assert (verdict(nudged).kind, verdict(nudged).decided) == (VerdictKind.TIE, True)
    assert verdict(equal).energy_ratio is None  # equal to the last bit: no meter does that
    assert verdict(equal).kind is VerdictKind.UNPROVEN


def test_a_cheaper_but_slower_recipe_does_not_save() -> None:
    slow = [confirmed("trial 3", n, energy_j=18.0 + n / 10, time_s=33.0 + n / 10) for n in range(5)]
    found = verdict(slow)
    assert found.kind is VerdictKind.UNPROVEN
    assert {"time_documented", "time_fitted"} <= set(failing(found))
    assert found.clause("time_documented").final


def test_both_baselines_must_be_beaten() -> None:
    fitted = runs_of("fitted", ratio=0.29, shift=3)
    found = verdict(candidate(), [*BASELINE, *fitted])
    assert found.kind is VerdictKind.UNPROVEN
    assert failing(found)[0] == "energy_fitted"
    assert found.energy_ratio_fitted is not None
    assert verdict(candidate(), [*BASELINE, *runs_of("fitted", ratio=0.6, shift=3)]).kind == "SAVES"


@pytest.mark.parametrize(
    ("became", "kind", "words"),
    [
        (FittedBaseline.DOCUMENTED, "SAVES", "the documented length is the fitted one"),
        (FittedBaseline.NEVER_REACHES, "SAVES", "reaches the target at no length"),
        (FittedBaseline.NOT_FITTED, "UNPROVEN", "only a shorter schedule"),
        (FittedBaseline.MEASURED, "UNPROVEN", "only a shorter schedule"),
    ],
)
def test_a_baseline_that_has_no_fitted_length_says_why(became: FittedBaseline, kind: str, words: str) -> None:
    found = verdict(candidate(), fitted_baseline=became)
    assert found.kind == kind
    assert words in found.clause("energy_fitted").words
    assert found.energy_ratio_fitted is None


def test_a_held_out_loss_beyond_the_margin_fails() -> None:
    worse = [confirmed("trial 3", n, energy_j=18.0 + n / 10, time_s=9.0 + n / 10) for n in range(5)]
    shifted = [
        confirmed(
            "trial 3",
            n,
            loss=1.88 + n / 1000,
            test_loss=1.96 + n / 1000,
            energy_j=run.energy_j,
            time_s=run.time_s,
        )
        for n, run in enumerate(worse)
    ]
    found = verdict(shifted)
    assert failing(found) == ["loss"]
    assert found.clause("loss").final


def test_without_a_test_part_the_loss_is_not_claimed() -> None:
    found = verdict(candidate(test_loss=None))
    assert failing(found) == ["loss"]
    assert "no test part" in found.clause("loss").words


@pytest.mark.parametrize(
    ("ngram_loss", "looks_up", "holds"),
    [(2.0, True, True), (1.67, True, False), (1.67, False, True), (None, False, True), (None, True, False)],
)
def test_a_problem_that_counting_solves_fails_only_a_recipe_that_looks_up(
    ngram_loss: float | None, looks_up: bool, holds: bool
) -> None:
    clause = verdict(candidate(), ngram_loss=ngram_loss, looks_up=looks_up).clause("problem")
    assert (clause.holds, clause.final) == (holds, not holds)
    if ngram_loss == 1.67 and holds:
        assert "needs no language model" in clause.words


def test_modelled_joules_prove_no_saving() -> None:
    found = verdict(candidate(), meter_kind="modelled")
    assert failing(found) == ["meter"]
    assert found.decided


def test_modelled_joules_are_exact() -> None:
    exact = [confirmed("trial 3", n, energy_j=30.0) for n in range(5)]
    found = judge(
        "trial 3", [*(confirmed(number=n) for n in range(5)), *exact], facts(meter_kind="modelled"), SETTINGS
    )
    assert found.energy_ratio is not None
    assert found.energy_ratio.low == found.energy_ratio.high == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["measured", "estimated"])
def test_other_joules_hold_and_say_their_kind(kind: str) -> None:
    clause = verdict(candidate(), meter_kind=kind).clause("meter")
    assert clause.holds
    assert kind in clause.words


@pytest.mark.parametrize("flag", sorted(INTEGRITY_FLAGS))
def test_joules_in_doubt_fail_by_name(flag: str) -> None:
    for runs in ([*candidate(), *BASELINE[1:], confirmed(flags=(flag,))],):
        found = judge("trial 3", runs, facts(), SETTINGS)
        assert "meter" in failing(found)
        assert flag in found.clause("meter").words


def test_a_flag_of_load_fails_nothing_and_uneven_rounds_are_counted() -> None:
    runs = candidate()
    busy = frozenset({"foreign_cpu_load"})
    loaded = [
        confirmed("trial 3", 0, energy_j=18.0, time_s=9.0, load_flags=busy, flags=tuple(busy)),
        *runs[1:],
    ]
    found = verdict(loaded)
    assert (found.kind, found.uneven) == ("SAVES", 1)


@pytest.mark.parametrize("lost", [{"energy_j": None}, {"measured": False}])
def test_unknown_joules_are_a_missing_pair_and_never_nought(lost: dict[str, object]) -> None:
    runs = candidate()
    with_gap = [*runs[:4], confirmed("trial 3", 4, **{"energy_j": 0.0, "time_s": 9.0} | lost)]
    found = verdict(with_gap)
    assert found.kind is VerdictKind.UNPROVEN
    assert found.clause("energy_documented").holds is None
    assert "4 measured pairs" in found.clause("energy_documented").words
    assert found.energy_ratio is not None
    assert found.energy_ratio.estimate == pytest.approx(0.3, rel=0.05)


def test_only_rounds_that_the_baselines_ran_too_count() -> None:
    assert judge("trial 3", [*without(BASELINE, "documented", 2), *candidate()], facts(), SETTINGS).seeds == 4
    assert verdict([]).seeds == 0


@given(st.permutations(range(10)))
def test_the_order_in_which_runs_are_kept_does_not_matter(order: list[int]) -> None:
    runs = [*BASELINE, *candidate()]
    assert judge("trial 3", [runs[place] for place in order], facts(), SETTINGS) == judge(
        "trial 3", runs, facts(), SETTINGS
    )


@given(st.integers(1, 8))
def test_more_candidates_never_narrow_an_interval(k: int) -> None:
    one, more = verdict(candidate(), n_candidates=1), verdict(candidate(), n_candidates=k)
    assert one.energy_ratio is not None
    assert more.energy_ratio is not None
    assert more.energy_ratio.high >= one.energy_ratio.high
    assert (more.p_reach or 0.0) >= (one.p_reach or 0.0)


INFERENCE = ConfirmSettings(inference=True)


def with_inference(runs: list[ConfirmedRun], joules: float | None, noise: float = 0.01) -> list[ConfirmedRun]:
    """The same runs, whose models take so many joules a generated token, some a little more than others."""
    return [
        replace(
            run, inference_j_per_token=None if joules is None else joules * (1 + noise * (run.seed % 3 - 1))
        )
        for run in runs
    ]


@pytest.mark.parametrize(
    ("joules", "holds", "kind"),
    [
        (0.5, True, VerdictKind.SAVES),
        (1.03, True, VerdictKind.SAVES),  # within the margin of 5 %
        (1.3, False, VerdictKind.UNPROVEN),
        (None, None, VerdictKind.UNPROVEN),
    ],
)
def test_a_saving_must_not_be_bought_with_dearer_inference(
    joules: float | None, holds: bool | None, kind: VerdictKind
) -> None:
    runs = [*with_inference(BASELINE, 1.0), *with_inference(candidate(), joules, noise=0.012)]
    found = judge("trial 3", runs, facts(), INFERENCE)
    assert (found.clause("inference").holds, found.kind) == (holds, kind)
    assert found.hopeless == (holds is False)
    if holds is not True:
        assert failing(found) == ["inference"]
        assert "inference" in found.why
    assert judge("trial 3", runs, facts(), SETTINGS).kind is VerdictKind.SAVES  # where nobody asks


def test_modelled_joules_of_a_token_are_known_exactly() -> None:
    runs = [*with_inference(BASELINE, 1.0, 0.0), *with_inference(candidate(), 1.0, 0.0)]
    found = judge("trial 3", runs, facts(meter_kind="modelled"), INFERENCE)
    assert found.clause("inference").holds
    assert not judge("trial 3", runs, facts(), INFERENCE).clause("inference").holds


def test_a_clause_on_inference_says_how_many_seeds_would_decide_it() -> None:
    runs = [*with_inference(BASELINE, 1.0), *with_inference(candidate(), 1.03, noise=0.1)]
    found = judge("trial 3", runs, facts(), INFERENCE)
    assert found.clause("inference").holds is False
    assert "seeds by the present spread" in found.would_decide
